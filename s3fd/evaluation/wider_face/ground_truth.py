"""Reading of WIDER FACE's ground truth: the four ``.mat`` files of its evaluation tools."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.matlab import read_mat
from s3fd.data.formats.wider_face import read_wider_face_images

SETTINGS = ("easy", "medium", "hard")

# The same faces count in both, but boxes differ, and with them the figures.
_VERSIONS = {
    "fa0c50e00638d57f71c8f60a9ec1c8991648dbaae55a2a0b6ffd23f4c461acb8": "older",
    "1dfe6a9853950f9dde256b5e8bb75d8f272e6bc02a15ae1968f5a9b883f458cb": "newer",
}


@dataclass(frozen=True, eq=False)
class WiderFaceGroundTruth:
    """The faces of WIDER FACE's validation set.

    Attributes:
        images: names, such as ``0--Parade/0_Parade_marchingband_1_465``: event, then image.
        boxes: float64 ``[G, 4]``, ``(x1, y1, x2, y2)`` of all faces; x2 is the file's x + width.
        splits: int64 ``[B + 1]``; the faces of image i are rows ``splits[i]`` to ``splits[i + 1]``.
        counted: bool ``[G]`` for each setting, by its name: the faces that count.
        version: ``"older"`` (the tools of 2016 to 2017, with which S3FD's figures were made),
            ``"newer"``, or ``"unknown"``, told by the checksum of ``wider_face_val.mat``.
        checksums: SHA-256 of each file, by its name.
    """

    images: tuple[str, ...]
    boxes: NDArray[np.float64]
    splits: NDArray[np.int64]
    counted: Mapping[str, NDArray[np.bool_]]
    version: str
    checksums: Mapping[str, str]

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the events, each once, in the order of the images."""
        return tuple(dict.fromkeys(image.split("/")[0] for image in self.images))

    def faces(self, index: int) -> slice:
        """The rows of one image in `boxes` and `counted`."""
        return slice(int(self.splits[index]), int(self.splits[index + 1]))

    def describe(self) -> str:
        """Which version it is, in a few words."""
        checksum = self.checksums.get("wider_face_val.mat", "")
        return f"{self.version} (wider_face_val.mat, SHA-256 {checksum[:12]})"


def read_wider_face(folder: str | Path) -> WiderFaceGroundTruth:
    """Reads the ground truth of WIDER FACE's validation set.

    Args:
        folder: holds ``wider_face_val.mat`` and ``wider_{easy,medium,hard}_val.mat``, as the
            evaluation tools have them in ``ground_truth``.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: one is no such file, or the four do not belong together.
        ImportError: one is of MATLAB 7.3, and h5py is not installed.
    """
    root = Path(folder)
    files = {name: root / f"wider_{name}_val.mat" for name in ("face", *SETTINGS)}
    for file in files.values():
        if not file.is_file():
            raise FileNotFoundError(
                f"ground_truth: {file} does not exist; name the folder that holds "
                "wider_face_val.mat and wider_{easy,medium,hard}_val.mat"
            )
    images = read_wider_face_images(files["face"])
    splits = np.cumsum([0, *(len(image.boxes) for image in images)], dtype=np.int64)
    checksums = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files.values()
    }
    return WiderFaceGroundTruth(
        images=tuple(image.name.removesuffix(".jpg") for image in images),
        boxes=np.concatenate([*(image.boxes for image in images), np.empty((0, 4))]),
        splits=splits,
        counted={setting: _counted(files[setting], splits) for setting in SETTINGS},
        version=_VERSIONS.get(checksums["wider_face_val.mat"], "unknown"),
        checksums=checksums,
    )


def _counted(file: Path, splits: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of all faces count in a setting."""
    variables = read_mat(file, "gt_list")
    if "gt_list" not in variables:
        raise ValueError(f"{file}: expected a variable gt_list")
    try:
        cells = [
            np.asarray(cell, np.float64).ravel()
            for event in variables["gt_list"].ravel()
            for cell in event.ravel()
        ]
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: expected cells with the numbers of faces in gt_list ({error})"
        ) from error
    if len(cells) != len(splits) - 1:
        raise ValueError(
            f"{file}: expected faces of {len(splits) - 1} images, got {len(cells)}; does it belong "
            "to the wider_face_val.mat beside it?"
        )
    counted = np.zeros(splits[-1], dtype=bool)
    for first, end, cell in zip(splits[:-1], splits[1:], cells, strict=True):
        if not np.isin(cell, np.arange(1, end - first + 1)).all():
            raise ValueError(
                f"{file}: names a face that wider_face_val.mat beside it does not have"
            )
        counted[first + cell.astype(np.int64) - 1] = True
    return counted
