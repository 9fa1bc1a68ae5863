"""What people's photos have been through, and where the faces then lie in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from torch import Tensor

from s3fd import Detections
from s3fd.data import wear
from s3fd.images import UInt8Array
from s3fd.images.resize import resized

Find: TypeAlias = Callable[[Sequence[UInt8Array]], Sequence[Detections]]


def _as_they_are(boxes: Tensor, width: int, height: int) -> Tensor:
    return boxes


@dataclass(frozen=True)
class Hardship:
    """Something that photos go through.

    Attributes:
        name: for a table.
        change: of the pixels, ``[H, W, 3]``.
        back: boxes ``[N, 4]`` in the changed pixels to those in a photo of a width and height.
    """

    name: str
    change: Callable[[UInt8Array], UInt8Array]
    back: Callable[[Tensor, int, int], Tensor] = _as_they_are

    def before(self, find: Find) -> Find:
        """Finds in changed photos, and says where in the photos themselves."""

        def found(pictures: Sequence[UInt8Array]) -> Sequence[Detections]:
            answers = find([self.change(picture) for picture in pictures])
            return [
                replace(
                    faces,
                    boxes=self.back(faces.boxes, picture.shape[1], picture.shape[0]),
                    image_size=picture.shape[:2],
                )
                for faces, picture in zip(answers, pictures, strict=True)
            ]

        return found


def _turned(quarters: int) -> Callable[[UInt8Array], UInt8Array]:
    return lambda picture: np.ascontiguousarray(np.rot90(picture, quarters))


def _turned_back_by_90(boxes: Tensor, width: int, height: int) -> Tensor:
    """Of a photo that was turned by 90 degrees against the clock."""
    turned = boxes[:, [3, 0, 1, 2]]
    turned[:, 0::2] = width - turned[:, 0::2]
    return turned


def _turned_back_by_180(boxes: Tensor, width: int, height: int) -> Tensor:
    turned = boxes[:, [2, 3, 0, 1]]
    turned[:, 0::2] = width - turned[:, 0::2]
    turned[:, 1::2] = height - turned[:, 1::2]
    return turned


def _noisy(picture: UInt8Array) -> UInt8Array:
    return wear.noise(picture, 20.0, np.random.default_rng(0))


def _shrunk(picture: UInt8Array) -> UInt8Array:
    height, width = (max(1, round(side / 2)) for side in picture.shape[:2])
    return resized(picture, height, width)


def _grown(boxes: Tensor, width: int, height: int) -> Tensor:
    return boxes * 2


HARDSHIPS = (
    Hardship("as they are", lambda picture: picture),
    Hardship("turned by 90 degrees", _turned(1), _turned_back_by_90),
    Hardship("upside down", _turned(2), _turned_back_by_180),
    Hardship("in bad light", lambda picture: wear.darken(picture, 2.0, 0.4)),
    Hardship("noise of 20 levels", _noisy),
    Hardship("JPEG of quality 15", lambda picture: wear.compress(picture, 15)),
    Hardship("half as large", _shrunk, _grown),
)
