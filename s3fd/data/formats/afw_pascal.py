"""AFW and PASCAL faces, two sets of photos for evaluation, from their MATLAB files.

AFW (Zhu and Ramanan, CVPR 2012) comes as ``testimages`` with an ``anno.mat``. Papers use the
better labels of both sets from Mathias et al., "Face detection without bells and whistles" (ECCV
2014), whose files hold ``Annotations``: photos with rows of ``left top right bottom … ignore``.
The photos lie beside the file or one folder up, perhaps in ``testimages``, ``images`` or
``JPEGImages``. Faces that are marked to be ignored become ignore boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s3fd.data.annotations import annotated_image
from s3fd.data.formats.form import Form, Labels, photo_folder, visible
from s3fd.data.formats.matlab import read_mat
from s3fd.data.formats.pascal_voc import PIXELS_OF_VOC
from s3fd.data.formats.text import MALFORMED
from s3fd.messages import shown

_PHOTO_FOLDERS = ("testimages", "images", "JPEGImages")
_VARIABLES = ("Annotations", "anno")
_IGNORE = 5  # the column of the mark


def _file(root: Path) -> Path | None:
    """The file of the labels, in a folder or one below it; the corrected one of several."""
    if root.is_file():
        return root if root.suffix in (".mat", ".h5") else None
    files = [file for pattern in ("*.mat", "*/*.mat") for file in visible(root, pattern)]
    preference = ("_fixed.mat", "new_annotations", "anno", "Annotations")
    return next((file for part in preference for file in files if part in file.name), None)


def is_afw_pascal(file: Path) -> bool:
    """Whether a MATLAB file holds labels of AFW or PASCAL faces, by its variables.

    Raises:
        FileNotFoundError, ImportError, ValueError: as `read_mat`.
    """
    return bool(read_mat(file, *_VARIABLES))


def _holds(root: Path) -> bool:
    return _file(root) is not None


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file = _file(root) or root / "anno.mat"
    variables = read_mat(file)
    try:
        if "Annotations" in variables:
            entries = [_structured(entry) for entry in variables["Annotations"].ravel()]
        elif "anno" in variables:
            entries = [_afw(row) for row in variables["anno"]]
        else:
            raise ValueError(f"expected a variable Annotations or anno, got {sorted(variables)}")
        folder = photo_folder(file, [name for name, _, _ in entries], _PHOTO_FOLDERS)
        photos = [annotated_image(folder / name, rows, ignored=ignored)
                  for name, rows, ignored in entries]  # fmt: skip
    except MALFORMED as error:
        raise ValueError(f"{file}: not labels of AFW or PASCAL faces ({error})") from error
    return Labels(photos, None)


def _structured(entry: dict[str, Any]) -> tuple[str, np.ndarray, list[bool]]:
    """A photo of Mathias et al., with VOC's corners."""
    name = _text(entry["imgname"])
    objects = np.asarray(entry["objects"], dtype=np.float64)
    if not objects.size:
        return name, np.zeros((0, 4)), []
    ignored = objects[:, _IGNORE] != 0 if objects.shape[1] > _IGNORE else np.zeros(len(objects))
    return name, objects[:, :4] - PIXELS_OF_VOC, ignored.astype(bool).tolist()


def _afw(row: np.ndarray) -> tuple[str, np.ndarray, list[bool]]:
    """A photo of ``anno``: its name, and a cell array of corners ``[x1 y1; x2 y2]``."""
    corners = [np.asarray(cell, dtype=np.float64).reshape(4) for cell in row[1].ravel()]
    return _text(row[0]), np.array(corners).reshape(-1, 4), [False] * len(corners)


def _text(name: Any) -> str:
    """A name, perhaps in cells."""
    while isinstance(name, np.ndarray) and name.dtype == object and name.size:
        name = name.ravel()[0]
    if not isinstance(name, str):
        raise ValueError(f"expected the name of a photo, got {shown(name)}")
    return name


AFW_PASCAL = Form(_holds, _read)
