"""Reading of WIDER FACE's ground truth: the four ``.mat`` files of its evaluation tools."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        ImportError: scipy is not installed.
    """
    root = Path(folder)
    checksums: dict[str, str] = {}
    truth = _load(root / "wider_face_val.mat", checksums)
    names = _entries(truth, "file_list", "event_list", root / "wider_face_val.mat")
    faces = _faces(truth, root / "wider_face_val.mat", len(names))
    splits = np.cumsum([0, *map(len, faces)], dtype=np.int64)
    counted = {}
    for setting in SETTINGS:
        file = root / f"wider_{setting}_val.mat"
        counted[setting] = _counted(_load(file, checksums), file, splits)
    boxes = np.concatenate([*faces, np.empty((0, 4))])
    boxes[:, 2:] += boxes[:, :2]
    version = _VERSIONS.get(checksums["wider_face_val.mat"], "unknown")
    return WiderFaceGroundTruth(tuple(names), boxes, splits, counted, version, checksums)


def _load(file: Path, checksums: dict[str, str]) -> Mapping[str, Any]:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError(
            'WIDER FACE\'s ground truth is read with scipy: pip install "s3fd[eval]"'
        ) from error
    if not file.is_file():
        raise FileNotFoundError(
            f"ground_truth: {file} does not exist; name the folder that holds wider_face_val.mat "
            "and wider_{easy,medium,hard}_val.mat"
        )
    checksums[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    try:
        content: Mapping[str, Any] = loadmat(file)
    except Exception as error:  # scipy has many
        raise ValueError(f"{file}: can't be read as a MATLAB 5 file ({error})") from error
    return content


def _cells(content: Mapping[str, Any], key: str, file: Path) -> list[NDArray[Any]]:
    """The cells of all images, event after event."""
    if key not in content:
        raise ValueError(f"{file}: expected a variable {key!r}")
    return [cell for event in content[key].ravel() for cell in event.ravel()]


def _entries(content: Mapping[str, Any], key: str, events: str, file: Path) -> list[str]:
    try:
        names = []
        for event, images in zip(content[events].ravel(), content[key].ravel(), strict=True):
            names += [f"{event.item()}/{image.item()}" for image in images.ravel()]
    except (AttributeError, KeyError, ValueError) as error:
        raise ValueError(f"{file}: expected names in {events!r} and {key!r} ({error})") from error
    if len(set(names)) != len(names):
        raise ValueError(f"{file}: an image comes twice")
    return names


def _faces(content: Mapping[str, Any], file: Path, images: int) -> list[NDArray[np.float64]]:
    cells = _cells(content, "face_bbx_list", file)
    if len(cells) != images:
        raise ValueError(f"{file}: expected boxes of {images} images, got {len(cells)}")
    faces = [np.asarray(cell, np.float64) for cell in cells]
    faces = [rows.reshape(-1, 4) if rows.size == 0 else rows for rows in faces]
    if any(rows.ndim != 2 or rows.shape[1] != 4 for rows in faces):
        raise ValueError(f"{file}: expected boxes [N, 4] in 'face_bbx_list'")
    return faces


def _counted(
    content: Mapping[str, Any], file: Path, splits: NDArray[np.int64]
) -> NDArray[np.bool_]:
    cells = _cells(content, "gt_list", file)
    if len(cells) != len(splits) - 1:
        raise ValueError(
            f"{file}: expected faces of {len(splits) - 1} images, got {len(cells)}; does it belong "
            "to the wider_face_val.mat beside it?"
        )
    counted = np.zeros(splits[-1], dtype=bool)
    for first, end, cell in zip(splits[:-1], splits[1:], cells, strict=True):
        rows = first + cell.ravel().astype(np.int64) - 1
        if rows.size and (rows.min() < first or rows.max() >= end):
            raise ValueError(
                f"{file}: names a face that wider_face_val.mat beside it does not have"
            )
        counted[rows] = True
    return counted
