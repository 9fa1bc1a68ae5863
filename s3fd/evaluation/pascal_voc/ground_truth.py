"""Reading of the faces of AFW and PASCAL faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.form import visible
from s3fd.data.formats.pascal_voc import read_voc_file
from s3fd.data.formats.text import numbered_lines, numbers
from s3fd.evaluation.predictions import ImageNames
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


def read_pascal_voc(path: str | Path, label: str = "face") -> list[PascalVocImage]:
    """Reads the faces of a set of images.

    Args:
        path: a folder of PASCAL VOC's XML files, one an image, whose ``difficult`` objects are to
            ignore; or a text file of lines ``image x1 y1 x2 y2``, one a face, with a 1 after it if
            it is to ignore, and the name alone for an image without faces.
        label: objects of the XML files with another name are passed over.

    Raises:
        FileNotFoundError: there is nothing at `path`, or the folder has no XML file.
        ValueError: a file is malformed, or two images differ in their folders or suffixes alone;
            the message names it, and the line.
    """
    root = Path(path)
    if root.is_dir():
        files = visible(root, "*.xml")
        if not files:
            raise FileNotFoundError(f"ground_truth: there is no .xml file in {root}")
        return [_image(file.stem, _faces(file, label)) for file in files]
    if not root.is_file():
        raise FileNotFoundError(f"ground_truth: {root} does not exist")
    names = ImageNames()
    rows: dict[str, list[list[float]]] = {}
    for number, line in numbered_lines(root):
        path, *fields = line.split()
        faces = rows.setdefault(names.name(path, f"{root}:{number}"), [])
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


def _image(name: str, rows: list[list[float]]) -> PascalVocImage:
    table = np.array(rows, np.float64).reshape(-1, 5)
    return PascalVocImage(name, table[:, :4], table[:, 4] == 0)


def _faces(file: Path, label: str) -> list[list[float]]:
    """Boxes, and 1 where they are to ignore."""
    corners, difficult = read_voc_file(file).rows([label])
    return [[*row, float(ignored)] for row, ignored in zip(corners, difficult, strict=True)]
