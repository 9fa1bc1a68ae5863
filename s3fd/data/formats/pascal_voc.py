"""Labels in the XML form of PASCAL VOC (Everingham et al., 2010), as CVAT writes it too.

``Annotations/NAME.xml`` of photos in ``JPEGImages``, ``images`` or beside that folder; a name may
have folders, which both have. Or an XML beside each photo, as labelImg and Roboflow write them;
folders ``train`` and ``valid`` are splits there. Objects that are marked as difficult become ignore
boxes. VOC's corners are pixels (`PIXELS_OF_VOC`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    any_looks_right,
    face_classes,
    folders_of_splits,
    is_file,
    is_of_split,
    labels_of_split,
    no_split,
    photo_beside,
    split_of,
    visible,
)
from s3fd.data.formats.text import MALFORMED, beginning_of, malformed, numbered_lines
from s3fd.messages import shortened, shown

PIXELS_OF_VOC = np.array([1.0, 1.0, 0.0, 0.0])
"""What the corners of VOC have more than those of this package, which are continuous.

VOC counts pixels from 1, and both corners are pixels of the box: pixel 1 to 10 is ``[0, 10)`` here.
"""

_FOLDERS = ("Annotations", "annotations")
_FILES = "**/*.xml"
_LOOKED_AT = 4096
_PHOTO_FOLDERS = ("JPEGImages", "images")
_QUOTED = re.compile(r"""^(["'])(.+)\1$""")
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
        if root.tag != "annotation":
            raise ValueError(f"expected <annotation>, got <{shortened(root.tag)}>")
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


def _looks_like_voc(file: Path) -> bool:
    return re.search(r"<annotation[\s>]", beginning_of(file, _LOOKED_AT)) is not None


def _folder(root: Path) -> Path | None:
    """Where all labels are; None where they may lie beside their photos."""
    folders = (root / name for name in _FOLDERS)
    return next((folder for folder in folders if visible(folder, _FILES)), None)


def _holds(root: Path) -> bool:
    folder = _folder(root)
    if folder is not None and folder.name == _FOLDERS[0]:
        return True
    if root.is_file():
        files = [root] if root.suffix == ".xml" else []
    elif folder is not None:
        files = visible(folder, _FILES)
    else:  # not below: what is there may belong to labels of another form
        files = [file for place in folders_of_splits(root) for file in visible(place, "*.xml")]
    return any_looks_right(files, _looks_like_voc)


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    folder = _folder(root)
    if folder is None:
        files, has_splits = labels_of_split(root, split, _FILES, _looks_like_voc)
    elif has_splits := (lines := _lines_of_split(root, split)) is not None:
        files = [_file_of_line(folder, line) for line in lines]
    else:
        files = visible(folder, _FILES)
    read = list(map(read_voc_file, files))
    there = {item.name for photo in read for item in photo.objects}
    faces = face_classes(folder or root, there, classes, complete=False)
    photos = next((root / name for name in _PHOTO_FOLDERS if (root / name).is_dir()), root)
    return Labels(
        [_photo(folder, photos, photo, faces) for photo in read], split if has_splits else None
    )


def _lines_of_split(root: Path, split: str) -> list[str] | None:
    """The lines of ``ImageSets/Main/SPLIT.txt``; None where no such file speaks of a split."""
    sets = {file.stem: file for file in visible(root, "ImageSets/Main/*.txt")}
    stems = [stem for stem in sets if stem == split] or [s for s in sets if is_of_split(s, split)]
    if stems:
        return [line for _, line in numbered_lines(sets[stems[0]])]
    if any(map(split_of, sets)):
        raise no_split(root / "ImageSets" / "Main", split, sets)
    return None


def _file_of_line(folder: Path, line: str) -> Path:
    """The labels of the photo that a line names, perhaps in quotes, perhaps with a mark after it.

    A name may have blanks and end like a mark, which says whether a class is in the photo.
    """
    names = line, re.sub(r"\s+(-1|0|1)$", "", line)
    files = [folder / (_QUOTED.sub(r"\2", name) + ".xml") for name in names]
    return next(filter(is_file, files), files[-1])


def _photo(folder: Path | None, photos: Path, photo: VocPhoto, faces: set[str]) -> AnnotatedImage:
    if folder is None:
        folder = photos = photo.file.parent
    corners, difficult = photo.rows(faces)
    rows = np.array(corners).reshape(-1, 4) - PIXELS_OF_VOC
    path = photo_beside(photos / photo.file.parent.relative_to(folder), photo.file_name, photo.file)
    if not is_file(path):
        path = photo_beside(photos, photo.file_name, photo.file)
    return annotated_image(path, rows, ignored=difficult, size=photo.size)


PASCAL_VOC = Form(_holds, _read, has_classes=True)
