"""Labels in the JSON form of COCO (Lin et al., 2014), as CVAT, Roboflow and others export it too.

``{"images": [{"id", "file_name", "width", "height"}, ...], "annotations": [{"image_id", "bbox":
[x, y, width, height], "category_id"}, ...], "categories": [{"id", "name"}, ...]}``. Crowds
(``"iscrowd"``), boxes with ``"ignore"``, and boxes without area become ignore boxes. Polygons of
``"segmentation"`` count as the box around them where there is no ``"bbox"``, or one without area.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    chosen_split,
    face_classes,
    is_of_split,
    names_of_split,
    no_split,
    photo_folder,
    quoted,
    split_of,
    visible,
)
from s3fd.data.formats.text import LOOKED_AT, MALFORMED, beginning_of, malformed, pairs, read_json
from s3fd.messages import shortened, shown

_PATTERNS = ("annotations/*.json", "*/_annotations.coco.json", "*.json")
_ROBOFLOW = "_annotations.coco.json"  # in a folder that is called as the split
_MOST_LISTED = 20
_KEYS = re.compile(r'"(annotations|file_name|categories)"\s*:')


def looks_like_coco(file: Path) -> bool:
    """Whether a JSON file begins with COCO's keys; a whole file of classes alone does not."""
    beginning = beginning_of(file)
    keys = set(_KEYS.findall(beginning))
    if len(beginning) < LOOKED_AT:
        keys.discard("categories")
    return bool(keys)


def _candidates(root: Path) -> list[Path]:
    """The files that may hold the labels; those of boxes before those of captions and the like."""
    if root.suffix == ".json":
        return [root]
    if (root / "annotations.json").is_file():
        return [root / "annotations.json"]
    files = dict.fromkeys(file for pattern in _PATTERNS for file in visible(root, pattern))
    return sorted(files, key=lambda file: not file.name.startswith(("instances", "_")))


def _holds(root: Path) -> bool:
    return any(file.is_file() and looks_like_coco(file) for file in _candidates(root))


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file, is_the_splits_own = _file_of_split(root, split)
    content = read_json(file, "images", "annotations")
    entries = content["images"]
    index = _index_by_id(file, entries)
    faces = _faces(file, content, index, classes)
    chosen, has_splits = chosen_split(file, entries, split)
    names = [_name(entries[number]) for number in chosen]
    # A file that is named itself is read whole: its photos are of the split that it speaks of.
    is_asked = has_splits or is_the_splits_own
    own = split if is_asked else split_of(file.stem) or split
    folder = photo_folder(file, names, _photo_folders(file, own)) if names else root
    photos = []
    for number in chosen:
        try:
            photos.append(_photo(folder, entries[number], faces.get(number, [])))
        except MALFORMED as error:
            raise ValueError(
                f"{file}: images[{number}] is malformed: {malformed(error)}"
            ) from error
    return Labels(photos, split if is_asked else None)


def _photo_folders(file: Path, split: str) -> list[str]:
    """Where the photos of a split may lie: by the name of its file, or by one of the split."""
    stems = [file.stem, file.stem.rsplit("_", 1)[-1]]  # train2017 of instances_train2017
    own = [stem for stem in stems if is_of_split(stem, split)]
    names = list(dict.fromkeys([*own, *names_of_split(split), *stems]))
    return [*names, *(f"images/{name}" for name in names), "images"]


def _file_of_split(root: Path, split: str) -> tuple[Path, bool]:
    """The file of the labels, and whether it is of this split alone."""
    there = [file for file in _candidates(root) if file.is_file()]
    files = list(filter(looks_like_coco, there)) or there or [root / "annotations.json"]
    if root.suffix == ".json" or files[0] == root / "annotations.json":
        return files[0], False
    names = {file: file.parent.name if file.name == _ROBOFLOW else file.stem for file in files}
    for file, name in names.items():
        if is_of_split(name, split):
            return file, True
    if splits := {known for known in map(split_of, names.values()) if known is not None}:
        raise no_split(root, split, splits)
    if len(files) > 1:
        raise ValueError(
            f"{root}: its labels are in several files, {quoted(file.name for file in files)}; name "
            "one of them"
        )
    return files[0], False


def _index_by_id(file: Path, entries: Sequence[Any]) -> dict[Any, int]:
    """Where each image stands, by its identity."""
    index: dict[Any, int] = {}
    for number, entry in enumerate(entries):
        try:
            first = index.setdefault(entry["id"], number)
            if not isinstance(entry["file_name"], str):
                raise TypeError(f"file_name: expected text, got {shown(entry['file_name'])}")
        except MALFORMED as error:
            raise ValueError(
                f"{file}: images[{number}] is malformed: {malformed(error)}"
            ) from error
        if first != number:
            raise ValueError(
                f"{file}: images[{number}] has the id {shown(entry['id'])} that images[{first}] "
                "has; every image needs its own"
            )
    return index


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["file_name"]).replace("\\", "/")  # as Windows writes it


class _Face(NamedTuple):
    box: tuple[float, float, float, float]
    is_ignored: bool


def _faces(
    file: Path, content: Mapping[str, Any], index: Mapping[Any, int], classes: Sequence[str]
) -> dict[int, list[_Face]]:
    """The faces of each image that has any, by where the image stands."""
    categories = _categories(file, content.get("categories"))
    wanted = face_classes(file, categories.values(), classes)
    if not categories:
        _refuse_several_classes(file, content["annotations"])
    faces: dict[int, list[_Face]] = {}
    for number, annotation in enumerate(content["annotations"]):
        what = f"{file}: annotations[{number}]"
        try:
            if categories:
                category = annotation["category_id"]
                if category not in categories:
                    listed = ", ".join(
                        f"{shown(key)} ({shortened(name)})"
                        for key, name in islice(categories.items(), _MOST_LISTED)
                    )
                    raise ValueError(
                        f"{what} has category_id {shown(category)}, which no category has; there "
                        f"are {listed}"
                    )
                if categories[category] not in wanted:
                    continue
            if annotation["image_id"] not in index:
                known = f"; there are such as {shown(next(iter(index)))}" if index else ""
                image = shown(annotation["image_id"])
                raise ValueError(f"{what} has image_id {image}, which no image has{known}")
            face = _face(annotation)
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"{what} is malformed: {malformed(error)}") from error
        faces.setdefault(index[annotation["image_id"]], []).append(face)
    return faces


def _refuse_several_classes(file: Path, annotations: Sequence[Any]) -> None:
    """Refuses annotations of several classes that have no names: which of them are faces?"""
    numbers = {shown(item.get("category_id")) for item in annotations if isinstance(item, dict)}
    if len(numbers) > 1:
        raise ValueError(
            f"{file}: it has no categories, but annotations of several category_id, "
            f"{', '.join(sorted(numbers)[:_MOST_LISTED])}; name these in categories"
        )


def _categories(file: Path, categories: Any) -> dict[Any, str]:
    """Their names by their identities; without any, all annotations are faces."""
    names: dict[Any, str] = {}
    try:
        for category in categories or ():
            name = str(category["name"])
            if names.setdefault(category["id"], name) != name:
                raise ValueError(f"two have the id {shown(category['id'])}")
        return names
    except MALFORMED as error:
        raise ValueError(f"{file}: categories is malformed: {malformed(error)}") from error


def _face(annotation: Mapping[str, Any]) -> _Face:
    x, y, width, height = _box(annotation)
    flags = [annotation.get(name) or 0 for name in ("iscrowd", "ignore")]
    if not all(isinstance(flag, int | float) for flag in flags):
        raise TypeError(f"expected 0 or 1 for iscrowd and ignore, got {shown(flags)}")
    return _Face((x, y, x + width, y + height), any(flags))


def _box(annotation: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """``x y width height``: of the box, or around the polygons where it is missing or has no area.

    Some tools write a box of zeros beside every polygon.
    """
    box, polygons = annotation.get("bbox"), annotation.get("segmentation")
    polygons = polygons if isinstance(polygons, list) else []  # what is none has another form
    if not box:
        box = _around(polygons) if polygons else annotation["bbox"]
    try:
        x, y, width, height = map(float, box if isinstance(box, list) else ())
    except (TypeError, ValueError):
        raise TypeError(f"expected a bbox [x, y, width, height], got {shown(box)}") from None
    if (width <= 0 or height <= 0) and any(polygons):
        x, y, width, height = _around(polygons)
    return x, y, width, height


def _around(polygons: Any) -> list[float]:
    """``x y width height`` around polygons ``[x1, y1, x2, y2, …]``."""
    try:
        points = np.concatenate([pairs(np.reshape(polygon, (-1, 2))) for polygon in polygons])
    except ValueError:
        raise TypeError(
            f"expected polygons [x1, y1, x2, y2, ...] as segmentation, got {shown(polygons)}"
        ) from None
    corner = points.min(axis=0)
    return [*corner, *(points.max(axis=0) - corner)]


def _photo(folder: Path, entry: Mapping[str, Any], faces: Sequence[_Face]) -> AnnotatedImage:
    width, height = entry.get("width"), entry.get("height")
    size = None if width is None or height is None else (int(width), int(height))
    return annotated_image(
        folder / _name(entry),
        [face.box for face in faces],
        ignored=[face.is_ignored for face in faces],
        size=size,
    )


COCO = Form(_holds, _read, has_classes=True)
