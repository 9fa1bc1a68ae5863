"""AFW and PASCAL faces, two sets of photos for evaluation, from their MATLAB files.

AFW (Zhu and Ramanan, CVPR 2012) comes as ``testimages`` with an ``anno.mat``. Papers use the
better labels of both sets from Mathias et al., "Face detection without bells and whistles" (ECCV
2014), whose files hold ``Annotations``: photos with rows of ``left top right bottom … ignore``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.matlab import read_mat

_PHOTO_FOLDERS = ("testimages", "images", "JPEGImages", ".")
_IGNORE = 5  # the column of the mark


def face_eval_labels(root: Path) -> Path | None:
    """The ``.mat`` file of the labels in a folder or one below it, or None.

    Of several, the corrected ones are taken.
    """
    files = [file for pattern in ("*.mat", "*/*.mat") for file in sorted(root.glob(pattern))]
    preference = ("_fixed.mat", "new_annotations", "anno", "Annotations")
    for part in preference:
        for file in files:
            if part in file.name:
                return file
    return None


def read_face_eval(labels: Path) -> list[AnnotatedImage]:
    """Reads the photos of ``anno.mat`` of AFW, or of a file of Mathias et al.

    The photos lie beside the file or one folder up, perhaps in ``testimages``, ``images`` or
    ``JPEGImages``. Faces that are marked to be ignored become ignore boxes.

    Raises:
        FileNotFoundError: there is no such file, or no photo of it anywhere.
        ImportError: scipy, or h5py for version 7.3, is not installed.
        ValueError: it is malformed.
    """
    variables = read_mat(labels)
    try:
        if "Annotations" in variables:
            entries = [_structured(entry) for entry in variables["Annotations"].ravel()]
        elif "anno" in variables:
            entries = [_afw(row) for row in variables["anno"]]
        else:
            raise ValueError(f"expected a variable Annotations or anno, got {sorted(variables)}")
        folder = _photo_folder(labels, [name for name, _, _ in entries])
        return [annotated_image(folder / name, rows, ignored=ignored)
                for name, rows, ignored in entries]  # fmt: skip
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{labels}: not labels of AFW or PASCAL faces ({error})") from error


def _structured(entry: dict[str, Any]) -> tuple[str, np.ndarray, list[bool]]:
    """A photo of Mathias et al.; corners are pixels, counted from 1."""
    name = entry["imgname"]
    while not isinstance(name, str):  # a name in cells
        name = name.ravel()[0]
    objects = np.asarray(entry["objects"], dtype=np.float64)
    if not objects.size:
        return name, np.zeros((0, 4)), []
    ignored = objects[:, _IGNORE] != 0 if objects.shape[1] > _IGNORE else np.zeros(len(objects))
    return name, objects[:, :4] - np.array([1, 1, 0, 0]), ignored.astype(bool).tolist()


def _afw(row: np.ndarray) -> tuple[str, np.ndarray, list[bool]]:
    """A photo of ``anno``: its name, and a cell array of corners ``[x1 y1; x2 y2]``."""
    corners = [np.asarray(cell, dtype=np.float64).reshape(4) for cell in row[1].ravel()]
    return row[0], np.array(corners).reshape(-1, 4), [False] * len(corners)


def _photo_folder(labels: Path, names: list[str]) -> Path:
    parents = labels.absolute().parents[:2]
    for folder in (parent / name for parent in parents for name in _PHOTO_FOLDERS):
        if any((folder / name).is_file() for name in names):
            return folder
    first = names[0] if names else "photo"
    raise FileNotFoundError(
        f"data: there is no {first} of {labels} in {parents[0]} or {parents[-1]}, nor in "
        f"{', '.join(_PHOTO_FOLDERS[:-1])} there"
    )
