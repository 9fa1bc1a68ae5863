"""Faces of photos, cut out and enlarged so that each fills its picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from s3fd.data import AnnotatedImage
from s3fd.images import UInt8Array, read_image
from s3fd.images.resize import resized
from s3fd.overlaps import areas

SIDE = 1024  # of a picture
SIZES = (512, 716, 870, 1024)  # of its face, the square root of its area
_SMALLEST = 110.0  # in a photo: enlarged further, a face is blurred more than those that people see
_MOST = 120


def large_faces(
    photos: Sequence[AnnotatedImage],
) -> Iterator[list[tuple[UInt8Array, NDArray[np.float32]]]]:
    """For each of some faces squares with it, one for each of `SIZES`, and its box ``[4]`` in them.

    The faces are those that lie in their photos with room for the smallest size, evenly out of all
    of them.
    """
    least = min(SIZES) / SIDE
    faces = [
        (photo, box)
        for photo in photos
        for box in photo.boxes
        if _SMALLEST <= _side(box) <= least * min(photo.width or 0, photo.height or 0)
    ]
    for number in np.linspace(0, len(faces) - 1, min(_MOST, len(faces))).round().astype(int):
        photo, box = faces[number]
        rgb = read_image(photo.path)
        yield [_cut(rgb, box, _side(box) * SIDE / size) for size in SIZES]


def _side(box: NDArray[np.float32]) -> float:
    return float(np.sqrt(areas(box[None])[0]))


def _cut(
    rgb: UInt8Array, box: NDArray[np.float32], side: float
) -> tuple[UInt8Array, NDArray[np.float32]]:
    """The square around a face, moved into the photo."""
    pixels = round(side)
    centre = (box[:2] + box[2:]) / 2
    room = np.array([rgb.shape[1], rgb.shape[0]]) - pixels
    x, y = (centre - pixels / 2).round().astype(int).clip(0, room)
    part = np.ascontiguousarray(rgb[y : y + pixels, x : x + pixels])
    moved = (box - np.array([x, y, x, y])) * (SIDE / pixels)
    return resized(part, SIDE, SIDE), moved.clip(0, SIDE).astype(np.float32)
