"""What happens to photos before people have them: blur, noise, compression, darkness, hands."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from s3fd.data.annotations import FloatArray
from s3fd.data.plans import Pixels, do
from s3fd.images import UInt8Array
from s3fd.images.resize import resized
from s3fd.overlaps import areas, intersections


def blur(image: UInt8Array, factor: float) -> UInt8Array:
    """Loses what is finer than `factor` pixels, as a photo that was enlarged."""
    side = image.shape[0]
    small = max(2, round(side / factor))
    return resized(resized(image, small, small), side, side)


def noise(image: UInt8Array, deviation: float, rng: np.random.Generator) -> UInt8Array:
    """Adds Gaussian noise of a standard deviation in levels."""
    return add_noise(image, deviation, noise_place(image.size, rng))


def noise_place(count: int, rng: np.random.Generator) -> int:
    """Draws where so many of the `normal_numbers` begin, or 0 where that is more than all."""
    most = len(normal_numbers()) - count
    return int(rng.integers(most)) if most > 0 else 0


def add_noise(image: UInt8Array, deviation: float, begin: int) -> UInt8Array:
    """Adds so many times the `normal_numbers` from one of them on."""
    drawn = np.resize(normal_numbers()[begin : begin + image.size], image.shape)
    noisy: UInt8Array = (image + np.float32(deviation) * drawn).clip(0, 255).astype(np.uint8)
    return noisy


@cache
def normal_numbers() -> NDArray[np.float32]:
    """A pool to cut from: drawing numbers anew would take longer than all else together."""
    return np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32)


def compress(image: UInt8Array, quality: int) -> UInt8Array:
    """Writes and reads a JPEG."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def darken(image: UInt8Array, gamma: float, gain: float) -> UInt8Array:
    """Bad light: levels ``v`` in 0 to 1 become ``gain * v ** gamma``."""
    levels = 255 * gain * (np.arange(256) / 255) ** gamma
    table: UInt8Array = levels.clip(0, 255).astype(np.uint8)
    darkened: UInt8Array = np.take(table, image)
    return darkened


def cover(image: UInt8Array, box: tuple[int, int, int, int], by: tuple[int, ...]) -> UInt8Array:
    """Covers a box of whole pixels in the image by a colour, or by another part of the image.

    Args:
        image: ``[H, W, 3]``.
        box: what is covered.
        by: red, green and blue; or the upper left corner of the part.
    """
    x1, y1, x2, y2 = box
    covered: UInt8Array = image.copy()
    if len(by) == 3:
        covered[y1:y2, x1:x2] = by
    else:
        left, top = by
        covered[y1:y2, x1:x2] = image[top : top + y2 - y1, left : left + x2 - x1]
    return covered


def occlude(
    image: Pixels, box: FloatArray, others: FloatArray, rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.float64]]:
    """Covers a quarter to a half of a face's width or height, from one side, by something else.

    That is a plain colour, or another part of the image.

    Args:
        image: ``[H, W, 3]``.
        box: ``[4]``, the face.
        others: ``[N, 4]``, what may be faces too: a second one of these would have no label.
        rng: what draws.

    Returns:
        The image, and ``[N]``: which share of each of the others is covered.
    """
    x1, y1, x2, y2 = (int(value) for value in np.rint(box))
    share = rng.uniform(0.25, 0.5)
    side = int(rng.integers(4))
    if side == 0:
        x2 = round(x1 + share * (x2 - x1))
    elif side == 1:
        x1 = round(x2 - share * (x2 - x1))
    elif side == 2:
        y2 = round(y1 + share * (y2 - y1))
    else:
        y1 = round(y2 - share * (y2 - y1))
    height, width = image.shape[:2]
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    hidden = intersections(others, np.array([[x1, y1, x2, y2]]))[:, 0] / areas(others)
    if x2 <= x1 or y2 <= y1:
        return image, hidden
    by = None
    if rng.random() >= 0.5:
        left = int(rng.integers(width - (x2 - x1) + 1))
        top = int(rng.integers(height - (y2 - y1) + 1))
        part = np.array([[left, top, left + x2 - x1, top + y2 - y1]])
        by = None if intersections(others, part).any() else (left, top)
    by = by or tuple(rng.integers(0, 256, 3).tolist())
    return do(cover, image, (x1, y1, x2, y2), by), hidden
