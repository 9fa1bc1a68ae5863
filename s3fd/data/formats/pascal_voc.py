"""Labels in the XML form of PASCAL VOC (Everingham et al., 2010), as CVAT writes it too.

``Annotations/NAME.xml`` of photos in ``JPEGImages``, ``images`` or beside that folder; a name may
have folders, which both have. Objects that are marked as difficult become ignore boxes. VOC counts
pixels from 1, and its corners are pixels of the box: pixel 1 to 10 is ``[0, 10)`` here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    face_classes,
    is_file,
    is_of_split,
    no_split,
    photo_beside,
    split_of,
    visible,
)
from s3fd.data.formats.text import MALFORMED, malformed, numbered_lines
from s3fd.messages import shortened, shown

_PHOTO_FOLDERS = ("JPEGImages", "images")
_SIDES = ("xmin", "ymin", "xmax", "ymax")


class VocObject(NamedTuple):
    """An object as it is written."""

    name: str
    is_difficult: bool
    element: ElementTree.Element

    def corners(self) -> list[float]:
        """Its first and its last pixel, from 1: ``xmin``, ``ymin``, ``xmax``, ``ymax``.

        Raises:
            ValueError: one is missing, or not a finite number.
        """
        texts = [self.element.findtext(f"bndbox/{side}") for side in _SIDES]
        corners = [float(text) for text in texts if text is not None]
        if len(corners) < 4 or not np.isfinite(corners).all():
            name = shortened(self.name)
            raise ValueError(
                f"{name}: expected a bndbox of four finite numbers, got {shown(texts)}"
            )
        return corners


class VocPhoto(NamedTuple):
    """A file: the photo's name, its width and height if they are written, and what is in it."""

    file: Path
    file_name: str
    size: tuple[int, int] | None
    objects: list[VocObject]

    def rows(self, names: Collection[str]) -> tuple[list[list[float]], list[bool]]:
        """Of the objects with one of these names the corners, and whether they are difficult.

        Raises:
            ValueError: one is malformed; the message names the file.
        """
        objects = [item for item in self.objects if item.name in names]
        try:
            return [item.corners() for item in objects], [item.is_difficult for item in objects]
        except ValueError as error:
            raise _malformed(self.file, error) from error


def read_voc_file(file: Path) -> VocPhoto:
    """Reads the labels of one photo.

    Raises:
        ValueError: it is malformed; the message names it.
    """
    try:
        root = ElementTree.parse(file).getroot()
        objects = [_object(item) for item in root.iter("object")]
        width, height = (_whole(root.findtext(f"size/{side}")) for side in ("width", "height"))
    except (OSError, ElementTree.ParseError, *MALFORMED) as error:
        raise _malformed(file, error) from error
    name = (root.findtext("filename") or f"{file.stem}.jpg").strip()
    # Some tools write no size, or one of 0 x 0.
    size = (width, height) if width > 0 and height > 0 else None
    return VocPhoto(file, name, size, objects)


def _whole(text: str | None) -> int:
    number = float(text or 0)
    if not number.is_integer():
        raise ValueError(f"a size of {shown(text)} pixels")
    return int(number)


def _object(item: ElementTree.Element) -> VocObject:
    name = item.findtext("name")
    if name is None:
        raise ValueError("an object without name")
    return VocObject(name.strip(), float(item.findtext("difficult") or 0) != 0, item)


def _malformed(file: Path, error: Exception) -> ValueError:
    return ValueError(f"{file}: not labels in the form of PASCAL VOC ({malformed(error)})")


def _holds(root: Path) -> bool:
    return bool(visible(root, "Annotations/**/*.xml"))


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    folder = root / "Annotations"
    names = _names_of_split(root, split)
    has_splits = names is not None
    if names is None:
        found = (file.relative_to(folder) for file in visible(folder, "**/*.xml"))
        names = [file.with_suffix("").as_posix() for file in found]
    read = [read_voc_file(folder / f"{name}.xml") for name in names]
    there = {item.name for photo in read for item in photo.objects}
    faces = face_classes(folder, there, classes, complete=False)
    photos = next((root / name for name in _PHOTO_FOLDERS if (root / name).is_dir()), root)
    return Labels(
        [_photo(folder, photos, photo, faces) for photo in read], split if has_splits else None
    )


def _names_of_split(root: Path, split: str) -> list[str] | None:
    """The names in ``ImageSets/Main/SPLIT.txt``; None where no such file speaks of a split."""
    sets = {file.stem: file for file in visible(root, "ImageSets/Main/*.txt")}
    stems = [stem for stem in sets if stem == split] or [s for s in sets if is_of_split(s, split)]
    if stems:
        return [line.split()[0] for _, line in numbered_lines(sets[stems[0]])]
    if any(map(split_of, sets)):
        raise no_split(root / "ImageSets" / "Main", split, sets)
    return None


def _photo(folder: Path, photos: Path, photo: VocPhoto, faces: set[str]) -> AnnotatedImage:
    corners, difficult = photo.rows(faces)
    rows = np.array(corners).reshape(-1, 4) - [1, 1, 0, 0]
    path = photo_beside(photos / photo.file.parent.relative_to(folder), photo.file_name, photo.file)
    if not is_file(path):
        path = photo_beside(photos, photo.file_name, photo.file)
    return annotated_image(path, rows, ignored=difficult, size=photo.size)


PASCAL_VOC = Form(_holds, _read, has_classes=True)
