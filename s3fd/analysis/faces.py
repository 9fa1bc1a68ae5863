"""Face boxes of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s3fd.data import AnnotatedImage, read_photos
from s3fd.data.formats.afw_pascal import is_afw_pascal
from s3fd.data.formats.wider_face import read_wider_face_images, wider_face_file
from s3fd.data.photo import open_photo

WIDER_WIDTH = 1024
"""Width of every image of WIDER FACE, in pixels."""


@dataclass(frozen=True, eq=False)
class ImageFaces:
    """The faces of one image.

    Attributes:
        name: the image, as its data set calls it.
        boxes: float32 ``[G, 4]``, ``(x1, y1, x2, y2)`` in pixels, as they are in the file.
        size: height and width in pixels; None for WIDER FACE, whose files don't tell.
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
    """Reads the face boxes of a data set.

    Args:
        data: WIDER FACE's text, ``wider_face_val_bbx_gt.txt``, or its MATLAB file,
            ``wider_face_val.mat``, or a folder that holds one of them, itself or in
            ``wider_face_split/``; its photos need not be there. Or labels of any other form that
            `s3fd.data.read_photos` reads; photos whose size these don't say are looked at.
        split: ``"val"`` or ``"train"``; of a folder, and of labels that have splits.

    Returns:
        The images in the order of the file. Of WIDER FACE all boxes are kept, those that it calls
        invalid too; of other labels the faces that can be learned from.

    Raises:
        FileNotFoundError: there is no such file, the folder holds no labels, or a photo whose size
            only it could tell is not there.
        ValueError: the file is not of that form, or such a photo can't be read; the message names
            the place.
        ImportError: it is of MATLAB 7.3, and h5py is not installed.
    """
    path = Path(data)
    if not path.exists():
        raise FileNotFoundError(f"data: {path} does not exist")
    file = wider_face_file(path, split) if path.is_dir() else path
    if file is not None and _is_wider_face(file):
        return [
            ImageFaces(image.name, image.boxes.astype(np.float32))
            for image in read_wider_face_images(file)
        ]
    return [
        ImageFaces(str(photo.path), photo.boxes, _size(photo))
        for photo in read_photos(path, split).photos
    ]


def _is_wider_face(file: Path) -> bool:
    """Whether a file is WIDER FACE's, whose names people change, by what else it could be."""
    return file.suffix == ".txt" or (file.suffix == ".mat" and not is_afw_pascal(file))


def _size(photo: AnnotatedImage) -> tuple[int, int]:
    if photo.height is not None and photo.width is not None:
        return photo.height, photo.width
    try:
        with open_photo(photo) as opened:
            return opened.height, opened.width
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"data: the labels don't say how large {photo.path} is, and it is not there; the scale "
            "of its faces follows from its size, so bring the photos, or labels with sizes"
        ) from error
