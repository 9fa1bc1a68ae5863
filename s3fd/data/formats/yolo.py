"""YOLO's folders, as Ultralytics, Roboflow, Label Studio, labelImg and CVAT write them.

Photos lie in ``images``, their labels in ``labels`` beside it, a text each; or each text lies
beside its photo, as Darknet has it. Lines are ``class x y width height`` by the photo's size, of
the centre; or ``class x1 y1 x2 y2 x3 y3 …`` around a polygon. ``data.yaml`` names the classes and
the folders of the splits, or ``obj.data`` does, Darknet's file of that kind; without them,
``classes.txt`` names the classes, and folders ``images/train``, ``train/images`` or ``train`` are
the splits. A photo without a text has no faces. The size of each photo is read from the file. Key
points behind a box are passed over: ``kpt_shape`` tells of them, or what `yolo_lines` makes of
their numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    any_looks_right,
    doubt_loose,
    face_classes,
    folders_of_splits,
    is_file,
    is_folder,
    is_of_split,
    no_split,
    split_of,
    visible,
)
from s3fd.data.formats.text import MALFORMED, beginning_of, numbered_lines, numbers, read_text
from s3fd.data.formats.yolo_lines import OUTSIDE, have_key_points, read_lines
from s3fd.data.photo import open_photo
from s3fd.file_kinds import photo_suffixes
from s3fd.images import ImageError
from s3fd.messages import one_line, shortened, shown

_SETTINGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml", "obj.data")


@dataclass(frozen=True)
class _Dataset:
    """What the settings say, or the folders alone.

    Attributes:
        file: that says it, for messages.
        names: of the classes, by their number; empty where nothing tells.
        splits: where the photos of each split lie: folders, or lists of files.
        has_key_points: whether key points follow the boxes in a line.
    """

    file: Path
    names: Mapping[int, str]
    splits: Mapping[str, list[Path]]
    has_key_points: bool = False


def _settings_file(root: Path) -> Path | None:
    if root.is_file():
        return root if root.suffix in (".yaml", ".yml", ".data") else None
    return next((root / name for name in _SETTINGS if (root / name).is_file()), None)


def _label_folders(root: Path) -> list[Path]:
    return [f for f in (root / "labels", *visible(root, "*/labels")) if f.is_dir()]


def _holds(root: Path) -> bool:
    return (
        _settings_file(root) is not None
        or any((folder.parent / "images").is_dir() for folder in _label_folders(root))
        or any_looks_right(_texts_beside(root), _looks_like_labels)
    )


def _texts_beside(root: Path) -> Iterator[Path]:
    """Texts below a folder that lie beside a photo of their name, and say something."""
    texts = visible(root, "**/*.txt")
    photos = {photo.with_suffix("") for photo in _photos(root)} if texts else set()
    for text in texts:
        if text.with_suffix("") in photos and is_file(text) and text.stat().st_size:
            yield text


def _looks_like_labels(text: Path) -> bool:
    """Whether it begins with a box by the size of a photo, and is no caption."""
    values = numbers(beginning_of(text).strip().partition("\n")[0])
    return len(values) >= 5 and values[0].is_integer() and max(values[1:]) <= OUTSIDE


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file = _settings_file(root)
    dataset = _from_folders(root) if file is None else _from_settings(file)
    chosen = [name for name in dataset.splits if is_of_split(name, split)]
    has_splits = any(split_of(name) for name in dataset.splits)
    if has_splits and not chosen:
        raise no_split(dataset.file, split, dataset.splits)
    places = [place for name in chosen or dataset.splits for place in dataset.splits[name]]
    photos = list(dict.fromkeys(photo for place in places for photo in _photos(place)))
    if not photos:
        searched = ", ".join(shortened(str(place), 200) for place in places[:5]) or root
        raise FileNotFoundError(
            f"data: there is no photo in {searched}, where {dataset.file} says they are"
        )
    key_points = dataset.has_key_points
    texts = [read_lines(text, has_key_points=key_points) for text in _texts_of(photos)]
    lines = list(chain.from_iterable(texts))
    faces = _face_numbers(dataset, {line.number for line in lines}, classes)
    key_points = key_points or have_key_points(lines, dataset.file)
    boxes = [
        [(key_points and line.box) or line.corners for line in found if line.number in faces]
        for found in texts
    ]
    with ThreadPoolExecutor() as pool:
        return Labels(list(pool.map(_photo, photos, boxes)), split if has_splits else None)


def _face_numbers(dataset: _Dataset, found: set[int], classes: Sequence[str]) -> set[int]:
    """The numbers of the classes that are faces, of those that labels have."""
    if not dataset.names:
        if len(found) < 2 and not classes:
            return found  # the only class there is
        numbered = {f"{number}": number for number in found}  # their names
        return {numbered[name] for name in face_classes(dataset.file, numbered, classes)}
    if unnamed := sorted(found - set(dataset.names)):
        raise ValueError(
            f"{dataset.file}: it has no name for class {shown(unnamed[0])}, which labels have; it "
            f"names {len(dataset.names)}"
        )
    wanted = face_classes(dataset.file, dataset.names.values(), classes)
    return {number for number, name in dataset.names.items() if name in wanted}


def _photo_folders(root: Path) -> list[Path]:
    """Where photos lie: beside the folders of labels, or with their texts."""
    if folders := _label_folders(root):
        return [folder.parent / "images" for folder in folders]
    images = root / "images"
    return [images if images.is_dir() and folders_of_splits(root) == [root] else root]


def _from_folders(root: Path) -> _Dataset:
    splits: dict[str, list[Path]] = {}
    for images in _photo_folders(root):
        places = folders_of_splits(images)
        if places != [images]:
            suffixes = photo_suffixes()
            doubt_loose(images, [f for f in visible(images, "*") if f.suffix.lower() in suffixes])
        for place in places:
            names = place.relative_to(root).parts  # images/train, train/images, or train
            split = next((name for name in reversed(names) if name != "images"), "")
            splits.setdefault(split, []).append(place)
    folders = [root, *_label_folders(root), *chain.from_iterable(splits.values())]
    lists = (folder / "classes.txt" for folder in folders)
    file = next((file for file in lists if file.is_file()), None)
    classes = [] if file is None else [name for _, name in numbered_lines(file)]
    return _Dataset(file or root, dict(enumerate(classes)), splits)


def _from_settings(file: Path) -> _Dataset:
    settings = _darknet(file) if file.suffix == ".data" else _yaml(file)
    names = settings.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if isinstance(names, dict):
        names = {_number(key): name for key, name in names.items()}
    if not isinstance(names, dict) or not all(isinstance(number, int) for number in names):
        raise ValueError(f"{file}: expected names of classes by their number, got {shown(names)}")
    if not all(isinstance(name, str | int | float) for name in names.values()):
        raise ValueError(f"{file}: expected text for the names of classes, got {shown(names)}")
    base = file.absolute().parent
    if isinstance(settings.get("path"), str):
        base = next(p for p in (base / settings["path"], base) if is_folder(p))
    splits: dict[str, list[Path]] = {}
    for key in ("train", "val", "valid", "test"):
        value = settings.get(key)
        places = [value] if isinstance(value, str) else value or []
        if not isinstance(places, list) or not all(isinstance(place, str) for place in places):
            raise ValueError(
                f"{file}: expected a folder or a list of them in {key}, got {shown(value)}"
            )
        if places:
            splits[key] = [_place(base, file.absolute().parent, place) for place in places]
    if not splits:
        splits[""] = [base / "images"]
    count = _number(settings.get("nc", len(names)))
    if count != len(names):
        raise ValueError(f"{file}: nc is {shown(count)}, but there are {len(names)} names")
    names = {number: str(name) for number, name in names.items()}
    return _Dataset(file, names, splits, has_key_points="kpt_shape" in settings)


def _number(value: object) -> object:
    """A whole number that is written in quotes, as one."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _darknet(file: Path) -> dict[str, Any]:
    """Lines ``train = data/train.txt``, and the names in a file of their own."""
    lines = [line.split("=", 1) for _, line in numbered_lines(file)]
    settings: dict[str, Any] = {pair[0].strip(): pair[-1].strip() for pair in lines}
    if "names" in settings:
        folder = file.absolute().parent
        names = numbered_lines(_place(folder, folder, settings["names"]))
        settings["names"] = [name for _, name in names]
    return settings


def _yaml(file: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            f"{file}: PyYAML is needed to read it: pip install 's3fd[formats]'", name="yaml"
        ) from error
    try:
        settings = yaml.safe_load(read_text(file))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not YAML ({one_line(error)})") from error
    except MALFORMED as error:  # such as a date in the thirteenth month
        raise ValueError(f"{file}: YAML with a value that can't be ({shown(error)})") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{file}: expected settings, got a {type(settings).__name__}")
    return settings


def _place(base: Path, beside: Path, text: str) -> Path:
    """Where a path of the settings leads; exports often have one ``..`` or ``data`` too many.

    On Windows they may be written with its strokes.
    """
    straight = text.replace("\\", "/")
    plain = straight.removeprefix("../").removeprefix("data/")
    candidates = [folder / name for folder in (base, beside) for name in (text, straight, plain)]
    return next((path for path in candidates if is_file(path) or is_folder(path)), candidates[0])


def _photos(place: Path) -> Iterator[Path]:
    """The photos in a folder, or of a list of files."""
    if place.suffix == ".txt":
        for _, line in numbered_lines(place):
            yield _place(place.parent, place.parent, line)
    elif is_folder(place):
        suffixes = photo_suffixes()
        yield from (file for file in visible(place, "**/*") if file.suffix.lower() in suffixes)


def _in_labels(photo: Path) -> Path:
    """The text of a photo: its last folder ``images`` becomes ``labels``."""
    parts = list(photo.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _beside(photo: Path) -> Path:
    return photo.with_suffix(".txt")


def _texts_of(photos: Sequence[Path]) -> list[Path]:
    """The text of each photo, which may be missing: of all in ``labels``, or of all beside them.

    Texts have photos: without their texts, photos would be background.
    """
    for text_of in (_in_labels, _beside):
        texts = [text_of(photo) for photo in photos]
        if any(map(is_file, texts)):
            _doubt_orphans(set(texts))
            return texts
    places = dict.fromkeys((_in_labels(photos[0]), _beside(photos[0])))
    raise FileNotFoundError(
        f"data: none of {len(photos)} photos has labels; those of {photos[0]} would be "
        f"{' or '.join(map(str, places))}"
    )


def _doubt_orphans(texts: set[Path]) -> None:
    for folder in sorted({text.parent for text in texts}):
        there = (file for file in visible(folder, "*") if file.suffix.lower() == ".txt")
        orphans = [file for file in there if file not in texts and file.name != "classes.txt"]
        if orphans:
            warnings.warn(
                f"{folder}: {len(orphans)} texts belong to no photo, such as {orphans[0].name}; "
                "a text has the name of its photo, and ends in .txt",
                stacklevel=2,
            )


def _photo(path: Path, boxes: list[list[float]]) -> AnnotatedImage:
    """The photo with its boxes in pixels; one that can't be read has none, and is passed over."""
    try:
        with open_photo(annotated_image(path, [])) as photo:
            size = (photo.width, photo.height)
    except (FileNotFoundError, ImageError):
        return annotated_image(path, [])
    return annotated_image(path, np.array(boxes).reshape(-1, 4) * [*size, *size], size=size)


YOLO = Form(_holds, _read, has_classes=True)
