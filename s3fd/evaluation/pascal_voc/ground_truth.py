"""Reading of the faces of AFW and PASCAL faces."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.form import face_classes, visible
from s3fd.data.formats.pascal_voc import VocPhoto, read_voc_file
from s3fd.data.formats.text import numbered_lines, numbers
from s3fd.evaluation.predictions import ImageNames, image_name
from s3fd.messages import shortened


@dataclass(frozen=True, eq=False)
class PascalVocImage:
    """The faces of one image.

    Attributes:
        name: of its file, without suffix.
        boxes: float64 ``[G, 4]``, ``(x1, y1, x2, y2)``, first and last pixel.
        counted: bool ``[G]``; False for faces to ignore.
    """

    name: str
    boxes: NDArray[np.float64]
    counted: NDArray[np.bool_]


def read_pascal_voc(path: str | Path, label: str | None = None) -> list[PascalVocImage]:
    """Reads the faces of a set of images.

    Args:
        path: a folder of PASCAL VOC's XML files, one an image, whose ``difficult`` objects are to
            ignore; or a text file of lines ``image x1 y1 x2 y2``, one a face, with a 1 after it if
            it is to ignore, and the name alone for an image without faces.
        label: the name of the objects in XML files that are faces, in any case; None for "face" and
            its like. Others are passed over.

    Raises:
        FileNotFoundError: there is nothing at `path`, or the folder has no XML file.
        ValueError: a file is malformed, or two images differ in their folders or suffixes alone:
            the message names it, and the line. Or there are objects, but none with that name.
    """
    root = Path(path)
    if root.is_dir():
        files = visible(root, "*.xml")
        if not files:
            raise FileNotFoundError(f"ground_truth: there is no .xml file in {root}")
        return _read_xml(root, files, () if label is None else (label,))
    if not root.is_file():
        raise FileNotFoundError(f"ground_truth: {root} does not exist")
    names = ImageNames()
    rows: dict[str, list[list[float]]] = {}
    for number, line in numbered_lines(root):
        photo, *fields = line.split()
        faces = rows.setdefault(names.name(photo, f"{root}:{number}"), [])
        if fields:
            values = numbers(" ".join(fields))
            is_face = len(values) in (4, 5) and values[4:] in ([], [0], [1])
            if not is_face or not np.isfinite(values).all():
                raise ValueError(
                    f"{root}:{number}: expected image x1 y1 x2 y2, and a 1 for a face to ignore, "
                    f"got {shortened(line)}"
                )
            faces.append([*values, 0.0][:5])
    return [_image(name, faces) for name, faces in rows.items()]


def _read_xml(root: Path, files: Sequence[Path], labels: Sequence[str]) -> list[PascalVocImage]:
    photos: dict[str, VocPhoto] = {}
    for file in files:
        name = image_name(file.stem, 1)
        if name in photos:
            raise ValueError(
                f"{file}: is of the image {shortened(name)}, as {photos[name].file.name} is; move "
                "one of them elsewhere"
            )
        photos[name] = read_voc_file(file)
    there = {item.name for photo in photos.values() for item in photo.objects}
    names = face_classes(root, there, labels, complete=False, argument="label")
    return [_image(name, _faces(photo, names)) for name, photo in photos.items()]


def _image(name: str, rows: list[list[float]]) -> PascalVocImage:
    table = np.array(rows, np.float64).reshape(-1, 5)
    return PascalVocImage(name, table[:, :4], table[:, 4] == 0)


def _faces(photo: VocPhoto, names: Collection[str]) -> list[list[float]]:
    """Boxes, and 1 where they are to ignore."""
    corners, difficult = photo.rows(names)
    return [[*row, float(ignored)] for row, ignored in zip(corners, difficult, strict=True)]
