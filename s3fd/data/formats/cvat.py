"""Labels in CVAT's own XML, "CVAT for images": ``annotations.xml``.

``<image name width height subset><box label xtl ytl xbr ybr rotation/>…</image>``. Ellipses,
polygons and masks count as the boxes around them; points and lines don't. Subsets are splits.
Photos lie beside the file or in ``images``, perhaps in a folder of their subset.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    face_classes,
    is_of_split,
    no_split,
    photo_folder,
    split_of,
)
from s3fd.data.formats.text import MALFORMED, beginning_of, malformed, pairs
from s3fd.messages import shown


def _file(root: Path) -> Path:
    return root if root.suffix == ".xml" else root / "annotations.xml"


def _holds(root: Path) -> bool:
    file = _file(root)
    if not file.is_file():
        return False
    return "<annotations>" in beginning_of(file)


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file = _file(root)
    try:
        tree = ElementTree.parse(file).getroot()
    except (OSError, ElementTree.ParseError, *MALFORMED) as error:
        raise ValueError(f"{file}: not CVAT's annotations ({error})") from error
    if tree.find("track") is not None:
        raise ValueError(
            f"{file}: the annotations of a video; export them as 'CVAT for images' instead"
        )
    images = tree.findall("image")
    subsets = {image.get("subset", "") for image in images}
    has_splits = any(map(split_of, subsets))
    if has_splits:
        if without := [image.get("name") for image in images if not image.get("subset")]:
            raise ValueError(
                f"{file}: image {shown(without[0])} has no subset, as others have; give all images "
                "one, or none"
            )
        images = [image for image in images if is_of_split(image.get("subset", "").lower(), split)]
        if not images:
            raise no_split(file, split, filter(None, subsets))
    known = [label.findtext("name", "").strip() for label in tree.findall("meta//labels/label")]
    there = {shape.get("label", "") for image in images for shape in image if shape.get("label")}
    faces = face_classes(file, known or there, classes, complete=bool(known))
    folders = _folders(file, images)
    photos = [_photo(file, folders[image.get("subset", "")], image, faces) for image in images]
    return Labels(photos, split if has_splits else None)


def _folders(file: Path, images: Sequence[ElementTree.Element]) -> dict[str, Path]:
    """Where the photos of each subset are: two may have photos of the same names."""
    names: dict[str, list[str]] = {}
    for image in images:
        names.setdefault(image.get("subset", ""), []).append(image.get("name", ""))
    return {
        subset: photo_folder(file, of_subset, [f"images/{subset}"] * bool(subset) + ["images"])
        for subset, of_subset in names.items()
    }


def _photo(file: Path, folder: Path, image: ElementTree.Element, faces: set[str]) -> AnnotatedImage:
    try:
        shapes = [shape for shape in image if shape.get("label") in faces and shape.tag in _BOXES]
        rows = [_BOXES[shape.tag](shape) for shape in shapes]
        size = (int(image.attrib["width"]), int(image.attrib["height"]))
        return annotated_image(folder / image.attrib["name"], rows, size=size)
    except MALFORMED as error:
        name = shown(image.get("name"))
        raise ValueError(f"{file}: image {name} is malformed ({malformed(error)})") from error


def _floats(shape: ElementTree.Element, *names: str) -> list[float]:
    return [float(shape.attrib[name]) for name in names]


def _turned(shape: ElementTree.Element, x: float, y: float, half: list[float]) -> list[float]:
    """The box around one that is turned around its centre; an ellipse's is within it."""
    angle = math.radians(float(shape.get("rotation", 0)))
    cosine, sine = abs(math.cos(angle)), abs(math.sin(angle))
    if shape.tag == "ellipse":
        width, height = (math.hypot(half[0] * cosine, half[1] * sine),
                         math.hypot(half[0] * sine, half[1] * cosine))  # fmt: skip
    else:
        width, height = half[0] * cosine + half[1] * sine, half[0] * sine + half[1] * cosine
    return [x - width, y - height, x + width, y + height]


def _box(shape: ElementTree.Element) -> list[float]:
    left, top, right, bottom = _floats(shape, "xtl", "ytl", "xbr", "ybr")
    if float(shape.get("rotation", 0)) == 0:
        return [left, top, right, bottom]
    half = [(right - left) / 2, (bottom - top) / 2]
    return _turned(shape, (left + right) / 2, (top + bottom) / 2, half)


def _ellipse(shape: ElementTree.Element) -> list[float]:
    x, y = _floats(shape, "cx", "cy")
    return _turned(shape, x, y, _floats(shape, "rx", "ry"))


def _polygon(shape: ElementTree.Element) -> list[float]:
    texts = [point.split(",") for point in shape.attrib["points"].split(";")]
    points = pairs(texts)
    return [*points.min(axis=0), *points.max(axis=0)]


def _mask(shape: ElementTree.Element) -> list[float]:
    left, top, width, height = _floats(shape, "left", "top", "width", "height")
    return [left, top, left + width, top + height]


_BOXES: dict[str, Callable[[ElementTree.Element], list[float]]] = {
    "box": _box,
    "ellipse": _ellipse,
    "polygon": _polygon,
    "mask": _mask,
}

CVAT = Form(_holds, _read, has_classes=True)
