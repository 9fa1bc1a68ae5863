"""Face boxes of a data set, without its photos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s3fd.data import read_annotations
from s3fd.data.annotations import AnnotatedImage

WIDER_WIDTH = 1024
"""Width of every image of WIDER FACE, in pixels."""


@dataclass(frozen=True, eq=False)
class ImageFaces:
    """The faces of one image.

    Attributes:
        name: the image, as its data set calls it.
        boxes: float32 ``[G, 4]``, ``(x1, y1, x2, y2)`` in pixels, as they are in the file.
        size: height and width in pixels; None where the file does not tell.
    """

    name: str
    boxes: NDArray[np.float32]
    size: tuple[int, int] | None = None

    def fitted(self, side: int) -> Tensor:
        """The boxes once the image is scaled to fit into ``side`` x ``side`` pixels.

        An image of unknown size is taken to be as large as WIDER FACE's are wide, or as its boxes
        reach.

        Returns:
            Tensor[G, 4], float32.

        Example:
            >>> ImageFaces("a", np.float32([[0, 0, 64, 128]]), size=(320, 1280)).fitted(640)
            tensor([[ 0.,  0., 32., 64.]])
        """
        longest = float(max(self.size or (WIDER_WIDTH, self.boxes.max(initial=0.0))))
        return torch.from_numpy(self.boxes) * (side / longest)


def read_faces(data: str | Path, split: str = "val") -> list[ImageFaces]:
    """Reads the face boxes of a data set; its photos need not be there.

    Args:
        data: one of

            - WIDER FACE's text, ``wider_face_val_bbx_gt.txt``;
            - its MATLAB file, ``wider_face_val.mat``, which needs SciPy;
            - an ``annotations.json``, of which `split` is taken;
            - a folder that holds one of them, itself or in ``wider_face_split/``.
        split: ``"val"`` or ``"train"``; of a folder, and of an ``annotations.json``.

    Returns:
        The images in the order of the file. All boxes are kept, those that WIDER FACE calls
        invalid too; only of an ``annotations.json`` those without area are left out.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds none of them.
        ValueError: the file is not of that form; the message names the place.
        ImportError: SciPy is needed.
    """
    path = Path(data)
    file = _file_in(path, split) if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"data: {file} does not exist")
    if file.name == "annotations.json":
        images = read_annotations(file.parent, split)
        return [ImageFaces(str(i.path), i.boxes, _size(i)) for i in images]
    if file.suffix == ".txt":
        return list(_read_text(file))
    if file.suffix == ".mat":
        return list(_read_mat(file))
    raise ValueError(
        "data: expected WIDER FACE's .txt or .mat, an annotations.json, or the folder of one, "
        f"got {file}"
    )


def _size(image: AnnotatedImage) -> tuple[int, int] | None:
    if image.height is None or image.width is None:
        return None
    return image.height, image.width


def _file_in(folder: Path, split: str) -> Path:
    names = (f"wider_face_{split}_bbx_gt.txt", f"wider_face_{split}.mat")
    places = [below / name for below in (folder, folder / "wider_face_split") for name in names]
    for file in (*places, folder / "annotations.json"):
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"data: {folder} holds none of {', '.join(names)}, annotations.json; "
        "name the folder of WIDER FACE's wider_face_split, or such a file"
    )


def _read_text(file: Path) -> Iterator[ImageFaces]:
    """An image is its name, its number of faces, and a line ``x y w h ...`` for each face.

    An image without faces has one line of zeros, or none.
    """
    lines = file.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        if not lines[number].strip():
            number += 1
            continue
        start = number
        try:
            name, count = lines[start].strip(), int(lines[start + 1])
            number = start + 2 + count
            rows = [_corner_and_size(line) for line in lines[start + 2 : number]]
            if len(rows) < count:
                raise ValueError(f"{count} faces are announced, {len(rows)} follow")
        except (IndexError, ValueError) as error:
            raise ValueError(
                f"{file}, line {start + 1}: expected the name of an image, the number of its faces "
                f"and a line 'x y w h ...' for each ({error})"
            ) from None
        if count == 0 and number < len(lines) and _is_row(lines[number]):
            number += 1
        yield ImageFaces(name, _boxes(np.array(rows, np.float32)))


def _corner_and_size(line: str) -> list[float]:
    x, y, width, height, *_ = map(float, line.split())
    return [x, y, width, height]


def _is_row(line: str) -> bool:
    try:
        _corner_and_size(line)
    except ValueError:
        return False
    return True


def _read_mat(file: Path) -> Iterator[ImageFaces]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ImportError as error:
        raise ImportError(f"{file}: SciPy reads it; `pip install s3fd[eval]` brings it") from error
    try:
        content: dict[str, Any] = loadmat(str(file))
        events, files = content["file_list"][:, 0], content["face_bbx_list"][:, 0]
    except (MatReadError, NotImplementedError, KeyError, ValueError, IndexError) as error:
        raise ValueError(
            f"{file}: expected WIDER FACE's file_list and face_bbx_list ({error!r})"
        ) from None
    for names, boxes_of_event in zip(events, files, strict=True):
        for name, rows in zip(names[:, 0], boxes_of_event[:, 0], strict=True):
            yield ImageFaces(str(name[0]), _boxes(np.asarray(rows, np.float32)))


def _boxes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """``[G, 4]`` from corner and size to two corners."""
    corner, size = np.split(rows.reshape(-1, 4), 2, axis=1)
    return np.concatenate([corner, corner + size], axis=1)
