"""Closer looks at an image for its small faces: enlarged, in overlapping tiles.

A detector has a smallest face, about as large as its smallest anchor. A look that is close enough
for smaller ones has more pixels than fit into memory, and costs the large faces: of one that is
larger than a tile, the network sees a cheek. So a close look counts for small faces alone, and
looks from further away find the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from s3fd.detections import Detections
from s3fd.images import Size, UInt8Array
from s3fd.scaled_image import ScaledImage

TILE = 1024
"""Longest side of a tile, in pixels of the network."""

OVERLAP = 128
"""By how much neighbouring tiles overlap: twice the largest face, for what is around it."""

LARGEST = 64
"""Longest side of the faces that count in a close look."""

CLOSEST = 4.0
"""The largest scale: there is nothing to see in what is enlarged more."""

_STEP = 4  # between the factors of two looks: what is too large for one has 16 px in the next
_TOUCHING = 1.0  # a box that is as near to an edge where the image goes on may be half a face


@dataclass(frozen=True, eq=False)
class Tile(ScaledImage):
    """A part of an image, enlarged or shrunk.

    Attributes:
        corner: y and x of its upper left corner, in pixels of the original.
        extent: height and width of it, likewise.
    """

    corner: tuple[float, float] = (0.0, 0.0)
    extent: tuple[float, float] = (0.0, 0.0)

    def to_original(self, boxes: torch.Tensor) -> torch.Tensor:
        """Boxes ``[N, 4]`` of the tile in pixels of the original image."""
        (top, left), (height, width) = self.corner, self.extent
        y_scale, x_scale = height / self.scaled_size[0], width / self.scaled_size[1]
        whole_height, whole_width = self.original_size
        scaled = boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])
        scaled = scaled + boxes.new_tensor([left, top, left, top])
        limit = boxes.new_tensor([whole_width, whole_height, whole_width, whole_height])
        return torch.minimum(scaled, limit)

    def keep(self, found: Detections) -> Detections:
        """Of the detections, those that count: small faces which no edge within the image cuts."""
        scale = self.scaled_size[0] / self.extent[0]
        sides = found.boxes[:, 2:] - found.boxes[:, :2]  # [N, 2]
        top, left = self.corner
        bottom, right = top + self.extent[0], left + self.extent[1]
        height, width = self.original_size
        edge = _TOUCHING / scale
        x1, y1, x2, y2 = found.boxes.unbind(dim=1)
        whole = (
            ((x1 > left + edge) | (left <= 0))
            & ((y1 > top + edge) | (top <= 0))
            & ((x2 < right - edge) | (right > width - edge))  # right is the width, but for rounding
            & ((y2 < bottom - edge) | (bottom > height - edge))
        )
        return found[whole & (sides.amax(dim=1) * scale < LARGEST)]


def close_factors(closest: float, furthest: float) -> list[float]:
    """The scales of the close looks, from the closest on.

    Args:
        closest: the scale at which the smallest faces that are wanted meet the smallest anchors;
            it is bounded by `CLOSEST`.
        furthest: that of the look at the whole image, which finds all the others.

    Example:
        >>> close_factors(2, 0.25)
        [2, 0.5]
        >>> close_factors(0.5, 1)
        []
    """
    closest = min(closest, CLOSEST)
    factors = []
    while closest > furthest:
        factors.append(closest)
        closest /= _STEP
    return factors


def tiles(pixels: UInt8Array, factor: float, original_size: Size) -> Iterator[Tile]:
    """The tiles of one look, row by row.

    Args:
        pixels: the image, or what it was shrunk to, uint8 ``[H, W, 3]``.
        factor: the look's scale, to pixels of the original.
        original_size: of the image.
    """
    y_shrunk, x_shrunk = (a / b for a, b in zip(pixels.shape, original_size, strict=False))
    for top, bottom in _spans(pixels.shape[0], factor / y_shrunk):
        for left, right in _spans(pixels.shape[1], factor / x_shrunk):
            extent = (bottom - top) / y_shrunk, (right - left) / x_shrunk
            yield Tile(
                source=pixels[top:bottom, left:right],
                scaled_size=(max(1, round(extent[0] * factor)), max(1, round(extent[1] * factor))),
                original_size=original_size,
                corner=(top / y_shrunk, left / x_shrunk),
                extent=extent,
            )


def _spans(length: int, factor: float) -> list[tuple[int, int]]:
    """Where the tiles along a side of `length` pixels begin and end, if that is scaled."""
    scaled = length * factor
    count = max(1, math.ceil((scaled - OVERLAP) / (TILE - OVERLAP)))
    each = (scaled + (count - 1) * OVERLAP) / count
    starts = (index * (each - OVERLAP) for index in range(count))
    return [
        (math.floor(start / factor), min(length, math.ceil((start + each) / factor)))
        for start in starts
    ]
