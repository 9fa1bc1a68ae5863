"""Labels in the JSON form of COCO (Lin et al., 2014), as CVAT, Roboflow and others export it too.

``{"images": [{"id", "file_name", "width", "height"}, ...], "annotations": [{"image_id", "bbox":
[x, y, width, height], "category_id"}, ...], "categories": [{"id", "name"}, ...]}``. Crowds
(``"iscrowd"``), boxes with ``"ignore"``, and boxes without area become ignore boxes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    face_classes,
    is_of_split,
    no_split,
    photo_folder,
    quoted,
    split_of,
)
from s3fd.data.formats.text import MALFORMED, read_json
from s3fd.messages import shortened, shown

_PATTERNS = ("annotations/*.json", "*/_annotations.coco.json", "*.json")
_ROBOFLOW = "_annotations.coco.json"  # in a folder that is called as the split
_LOOKED_AT = 65536
_MOST_LISTED = 20
_KEYS = re.compile(r'"(annotations|file_name|categories)"\s*:')


def looks_like_coco(file: Path) -> bool:
    """Whether a JSON file begins with COCO's keys."""
    with file.open(encoding="utf-8", errors="replace") as opened:
        return _KEYS.search(opened.read(_LOOKED_AT)) is not None


def _candidates(root: Path) -> list[Path]:
    """The files that may hold the labels; those of boxes before those of captions and the like."""
    if root.suffix == ".json":
        return [root]
    if (root / "annotations.json").is_file():
        return [root / "annotations.json"]
    files = dict.fromkeys(file for pattern in _PATTERNS for file in sorted(root.glob(pattern)))
    return sorted(files, key=lambda file: not file.name.startswith(("instances", "_")))


def _holds(root: Path) -> bool:
    return any(file.is_file() and looks_like_coco(file) for file in _candidates(root))


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file, is_the_splits_own = _file_of_split(root, split)
    content = read_json(file, "images", "annotations")
    entries = content["images"]
    index = _index_by_id(file, entries)
    faces = _faces(file, content, index, classes)
    splits = [entry["split"] for entry in entries if "split" in entry]
    chosen = [n for n, entry in enumerate(entries) if entry.get("split", split) == split]
    if splits and not chosen:
        raise no_split(file, split, map(str, splits))
    names = [str(entries[number]["file_name"]) for number in chosen]
    _refuse_repeated(file, names)
    stem = file.stem.rsplit("_", 1)[-1]  # train2017 of instances_train2017
    below = (split, stem, f"images/{split}", f"images/{stem}", "images")
    folder = photo_folder(file, names, below) if names else root
    photos = []
    for number in chosen:
        try:
            photos.append(_photo(folder, entries[number], faces.get(number, [])))
        except MALFORMED as error:
            raise ValueError(f"{file}: images[{number}] is malformed: {shown(error)}") from error
    return Labels(photos, split if splits or is_the_splits_own else None)


def _file_of_split(root: Path, split: str) -> tuple[Path, bool]:
    """The file of the labels, and whether it is of this split alone."""
    files = [file for file in _candidates(root) if file.is_file()] or [root / "annotations.json"]
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
            raise ValueError(f"{file}: images[{number}] is malformed: {shown(error)}") from error
        if first != number:
            raise ValueError(
                f"{file}: images[{number}] has the id {shown(entry['id'])} that images[{first}] "
                "has; every image needs its own"
            )
    return index


def _refuse_repeated(file: Path, names: Sequence[str]) -> None:
    """Refuses a photo that is listed twice: the faces of one entry are the other's background."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"{file}: several images have the file_name {shown(repeated[0])}; list each once"
        )


class _Face(NamedTuple):
    box: tuple[float, float, float, float]
    is_ignored: bool


def _faces(
    file: Path, content: Mapping[str, Any], index: Mapping[Any, int], classes: Sequence[str]
) -> dict[int, list[_Face]]:
    """The faces of each image that has any, by where the image stands."""
    categories = _categories(file, content.get("categories"))
    wanted = face_classes(file, categories.values(), classes)
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
            raise ValueError(f"{what} is malformed: {shown(error)}") from error
        faces.setdefault(index[annotation["image_id"]], []).append(face)
    return faces


def _categories(file: Path, categories: Any) -> dict[Any, str]:
    """Their names by their identities; without any, all annotations are faces."""
    try:
        return {category["id"]: str(category["name"]) for category in categories or ()}
    except MALFORMED as error:
        raise ValueError(f"{file}: categories is malformed: {shown(error)}") from error


def _face(annotation: Mapping[str, Any]) -> _Face:
    box = annotation["bbox"]
    try:
        x, y, width, height = map(float, box)
    except ValueError:
        raise TypeError(f"expected a bbox [x, y, width, height], got {shown(box)}") from None
    ignored = annotation.get("iscrowd", 0) or annotation.get("ignore", 0)
    return _Face((x, y, x + width, y + height), bool(ignored))


def _photo(folder: Path, entry: Mapping[str, Any], faces: Sequence[_Face]) -> AnnotatedImage:
    size = (int(entry["width"]), int(entry["height"])) if "width" in entry else None
    return annotated_image(
        folder / str(entry["file_name"]),
        [face.box for face in faces],
        ignored=[face.is_ignored for face in faces],
        size=size,
    )


COCO = Form(_holds, _read, has_classes=True)
