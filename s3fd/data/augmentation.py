"""What happens to the pixels and the boxes of a training image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image

from s3fd.data.annotations import FloatArray, has_area
from s3fd.data.patches import Patch, kept_faces
from s3fd.data.photo import OpenPhoto
from s3fd.images import UInt8Array

IntArray = NDArray[np.int64]

# What lies beyond a photo: the mean colour of ImageNet.
_BEYOND = (123, 117, 104)


@dataclass(frozen=True, eq=False)
class Sample:
    """A square training image.

    Attributes:
        image: uint8 ``[S, S, 3]``, RGB.
        boxes: float32 ``[N, 4]``, faces, in its pixels.
        ignore: float32 ``[M, 4]``, regions that are neither face nor background.
        tiny: how many faces became ignore boxes because they are too small in it.
    """

    image: UInt8Array
    boxes: FloatArray
    ignore: FloatArray
    tiny: int = 0


def crop(photo: OpenPhoto, patch: Patch, size: int, colours: FloatArray | None = None) -> Sample:
    """Cuts a square patch out of the photo and scales it to ``size x size``.

    Faces are kept, clipped, if their centre lies in the patch and they are not too small
    (`patches.kept_faces`). Of the others, what is visible becomes an ignore box.

    Args:
        photo: decoded by this.
        patch: which square; its edges are moved to the nearest pixels of the decoded photo. Where
            it reaches beyond the photo the result is one even colour.
        size: side of the result.
        colours: ``[3, 4]`` from `colour_distortion`, or None to leave the colours as they are.

    Raises:
        s3fd.images.ImageError: the file is damaged.
    """
    rgb = photo.decode(size / patch.side)
    per_pixel = np.array([rgb.width / photo.width, rgb.height / photo.height])
    first = np.rint(np.array([patch.x, patch.y]) * per_pixel).astype(int)
    last = np.rint(np.array([patch.x, patch.y]) * per_pixel + patch.side * per_pixel).astype(int)
    last = np.maximum(last, first + 1)
    scale = size / (last - first)
    boxes, ignore = (
        ((each * np.tile(per_pixel, 2) - np.tile(first, 2)) * np.tile(scale, 2)).astype(np.float32)
        for each in (photo.boxes, photo.ignore)
    )
    kept, tiny = kept_faces(boxes, size)
    ignore = np.concatenate([boxes[~kept], ignore]).clip(0, size)
    pixels = _cut(rgb, first, last, size, colours)
    return Sample(pixels, boxes[kept].clip(0, size), ignore[has_area(ignore)], int(tiny.sum()))


def _cut(
    rgb: Image.Image, first: IntArray, last: IntArray, size: int, colours: FloatArray | None
) -> UInt8Array:
    """The pixels from `first` to `last` (column, row), scaled to ``size x size``."""
    begin = first.clip(0, np.array(rgb.size) - 1)
    end = np.maximum(last.clip(0, rgb.size), begin + 1)
    part = rgb.crop((*begin.tolist(), *end.tolist()))
    if colours is not None:
        part = part.convert("RGB", tuple(colours.ravel().tolist()))
    scale = size / (last - first)
    left, top = np.rint((begin - first) * scale).astype(int).clip(0, size - 1).tolist()
    right, bottom = np.rint((end - first) * scale).astype(int).clip(0, size).tolist()
    height, width = max(bottom - top, 1), max(right - left, 1)
    resized = _resized(np.array(part), height, width)
    if (height, width) == (size, size):
        return resized
    whole = np.full((size, size, 3), _BEYOND, dtype=np.uint8)
    whole[top : top + height, left : left + width] = resized
    return whole


def _resized(image: UInt8Array, height: int, width: int) -> UInt8Array:
    """As Pillow's bilinear `resize`, and several times faster."""
    batch = torch.from_numpy(image)[None].permute(0, 3, 1, 2)  # [1, 3, H, W], channels last
    resized = functional.interpolate(batch, size=(height, width), mode="bilinear", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def flip(sample: Sample) -> Sample:
    """Mirrors left and right."""
    width = sample.image.shape[1]
    return Sample(
        np.array(Image.fromarray(sample.image).transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
        _flip_boxes(sample.boxes, width),
        _flip_boxes(sample.ignore, width),
        sample.tiny,
    )


def _flip_boxes(boxes: FloatArray, width: int) -> FloatArray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def collage(tiles: Sequence[Sample], count: int, size: int) -> Sample:
    """Lays ``count x count`` square samples side by side, row by row.

    Args:
        tiles: all of the same side, at most ``size // count``.
        count: how many make a row.
        size: side of the result; what the tiles leave free at the right and the bottom repeats
            their last pixels.
    """
    side = tiles[0].image.shape[0]
    rows = [
        np.concatenate([tile.image for tile in tiles[row * count : (row + 1) * count]], axis=1)
        for row in range(count)
    ]
    shifts = [
        np.array([column, row, column, row], dtype=np.float32) * side
        for row in range(count)
        for column in range(count)
    ]
    image, missing = np.concatenate(rows), size - side * count
    if missing:
        image = np.pad(image, ((0, missing), (0, missing), (0, 0)), mode="edge")
    return Sample(
        image,
        np.concatenate([tile.boxes + shift for tile, shift in zip(tiles, shifts, strict=True)]),
        np.concatenate([tile.ignore + shift for tile, shift in zip(tiles, shifts, strict=True)]),
        sum(tile.tiny for tile in tiles),
    )


def plain(size: int, rng: np.random.Generator) -> Sample:
    """A square of one colour, or of a few that fade into each other: no face, nothing to see."""
    knots = int(rng.integers(1, 6))
    colours = rng.uniform(0, 255, 3) + rng.uniform(0, 64) * rng.standard_normal((knots, knots, 3))
    image = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    none = np.zeros((0, 4), dtype=np.float32)
    return Sample(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)), none, none)


def place(tile: Sample, ground: Sample, rng: np.random.Generator) -> Sample:
    """Lays a small square sample somewhere on a larger one that has no faces."""
    room = ground.image.shape[0] - tile.image.shape[0]
    x, y = (int(offset) for offset in rng.integers(0, room + 1, size=2))
    image = ground.image.copy()
    image[y : y + tile.image.shape[0], x : x + tile.image.shape[1]] = tile.image
    shift = np.array([x, y, x, y], dtype=np.float32)
    return Sample(image, tile.boxes + shift, tile.ignore + shift, tile.tiny)
