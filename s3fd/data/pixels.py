"""What is done to the pixels of a tile; `s3fd.data.rendering` does the same on a device."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from s3fd.data.annotations import FloatArray
from s3fd.data.colour import recolour
from s3fd.images import UInt8Array
from s3fd.images.resize import resized

Colour: TypeAlias = tuple[int, int, int]
Beyond: TypeAlias = Colour | Literal["mirror"]


class Span(NamedTuple):
    """One axis of a patch: which pixels it takes of a photo, and where these lie in the result.

    Attributes:
        first: where it begins, in pixels of the photo; perhaps before these.
        scale: of the result.
        part: the photo's pixels that it takes, at least one.
        start: where they begin in the result.
        length: how many they become, at least one.
    """

    first: int
    scale: float
    part: slice
    start: int
    length: int

    @property
    def stop(self) -> int:
        """Where they end in the result."""
        return self.start + self.length

    @property
    def mirrors_before(self) -> int:
        """How many mirror images of the photo fit in before it, the last perhaps in part."""
        return -(-self.start // self.length)

    @classmethod
    def of(cls, begin: float, length: float, available: int, size: int) -> Span:
        """From `begin` on so much of `available` pixels, scaled to `size`."""
        # In Python's numbers: for one or two of them NumPy takes longer than for the pixels.
        first = round(begin)
        last = max(round(begin + length), first + 1)
        scale = size / (last - first)
        low = min(max(first, 0), available - 1)
        high = max(min(last, available), low + 1)
        start = min(max(round((low - first) * scale), 0), size - 1)
        stop = min(max(round((high - first) * scale), 0), size)
        return cls(first, scale, slice(low, high), start, max(stop - start, 1))


def cut(
    part: UInt8Array,
    across: Span,
    down: Span,
    size: int,
    colours: FloatArray | None,
    beyond: Beyond,
) -> UInt8Array:
    """The part of a photo that a patch takes, scaled and recoloured, and what lies beyond it."""
    inner = resized(part, down.length, across.length)
    if colours is not None:
        inner = recolour(inner, colours)
    left, top, (height, width) = across.start, down.start, inner.shape[:2]
    if (height, width) == (size, size):
        return inner
    if beyond == "mirror":
        edges = ((top, size - top - height), (left, size - left - width), (0, 0))
        return np.pad(inner, edges, mode="symmetric")
    whole = np.empty((size, size, 3), dtype=np.uint8)
    whole.reshape(size, -1)[:] = np.tile(np.array(beyond, dtype=np.uint8), size)  # row by row
    whole[top : top + height, left : left + width] = inner
    return whole


def turned(image: UInt8Array, degrees: float, side: int) -> UInt8Array:
    """A square turned about its middle, against the clock, and a smaller square of that."""
    angle, outer = np.deg2rad(degrees), len(image)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    # Pillow wants the map from the result to the image.
    shift_x = outer / 2 - cos * side / 2 + sin * side / 2
    shift_y = outer / 2 - sin * side / 2 - cos * side / 2
    turned_back = (cos, -sin, shift_x, sin, cos, shift_y)
    affine, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    picture = Image.fromarray(image).transform((side, side), affine, turned_back, bilinear)
    return np.asarray(picture)


def quarter_turned(image: UInt8Array, turns: int) -> UInt8Array:
    """Turned by so many times 90 degrees, against the clock."""
    return np.ascontiguousarray(np.rot90(image, turns))
