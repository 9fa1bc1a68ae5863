"""Pixels of training images that are made at once, or later by whoever can do it faster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from s3fd.images import UInt8Array

PixelFunction = Callable[..., UInt8Array]
"""Takes pixels ``[H, W, 3]`` and what else it needs, and gives pixels; it draws nothing random."""


class Step(NamedTuple):
    """Something that is done to pixels."""

    function: PixelFunction
    arguments: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Planned:
    """A tile before any of its pixels is made.

    Attributes:
        source: uint8 ``[H, W, 3]``, the pixels that it is made of.
        shape: of the result, ``(height, width, 3)``.
        steps: what is done, one after the other.
    """

    source: UInt8Array
    shape: tuple[int, ...]
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, eq=False)
class Laid:
    """Tiles on a square, one over the other, before it is made.

    Attributes:
        size: side of the square; what the tiles leave free at its right and its bottom repeats
            their last pixels.
        pieces: tiles and the places of their upper left corners, ``(pixels, x, y)``. A smaller one
            may lie on a larger one before it; others do not overlap.
    """

    size: int
    pieces: tuple[tuple[UInt8Array | Planned, int, int], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        return self.size, self.size, 3


Pixels: TypeAlias = UInt8Array | Planned | Laid


def do(
    function: PixelFunction, pixels: Pixels, *arguments: Any, side: int | None = None
) -> UInt8Array | Planned:
    """Does something to pixels, or plans it where these are planned.

    Args:
        function: what is done.
        pixels: to what.
        arguments: of the function, after the pixels.
        side: of the result, a square; None where it is that of `pixels`.
    """
    if isinstance(pixels, Planned):
        shape = pixels.shape if side is None else (side, side, 3)
        return Planned(pixels.source, shape, (*pixels.steps, Step(function, arguments)))
    return function(pixels_of(pixels), *arguments)


def lay(pieces: Sequence[tuple[Pixels, int, int]], size: int) -> UInt8Array | Laid:
    """Lays tiles on a square, as `Laid` says; at once if all of them have pixels."""
    tiles = tuple(
        (pixels_of(tile) if isinstance(tile, Laid) else tile, x, y) for tile, x, y in pieces
    )
    laid = Laid(size, tiles)
    return laid if any(isinstance(tile, Planned) for tile, _, _ in tiles) else pixels_of(laid)


def pixels_of(pixels: Pixels) -> UInt8Array:
    """The pixels, made here where they are not yet."""
    if isinstance(pixels, Planned):
        image = pixels.source
        for function, arguments in pixels.steps:
            image = function(image, *arguments)
        return image
    if isinstance(pixels, Laid):
        return _laid(pixels)
    return pixels


def _laid(laid: Laid) -> UInt8Array:
    image = np.empty(laid.shape, np.uint8)
    end = 0
    for pixels, x, y in laid.pieces:
        tile = pixels_of(pixels)
        side = len(tile)
        image[y : y + side, x : x + side] = tile
        end = max(end, x + side)
    image[:end, end:] = image[:end, end - 1 : end]
    image[end:] = image[end - 1]
    return image
