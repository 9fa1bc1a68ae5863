"""Planned training images as a few tensors, which cross from a worker process to a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from s3fd.data import wear
from s3fd.data.annotations import FloatArray
from s3fd.data.pixels import Beyond, Span, cut, quarter_turned, turned
from s3fd.data.plans import Laid, PixelFunction, Pixels, Planned, pixels_of
from s3fd.images import UInt8Array
from s3fd.images.resize import mirrored


class Tile(NamedTuple):
    """What a tile is made of, and what is done to it, in the order of these numbers."""

    image: int  # which one it lies in, and where, and how large it is there
    x: int
    y: int
    side: int
    height: int  # of its source
    width: int
    outer: int  # side of what is cut
    left: int  # where the source lies in that, and how large it is there
    across: int
    top: int
    down: int
    mirrors: bool = False  # beyond it: mirror images, or else a colour
    red: int = 0
    green: int = 0
    blue: int = 0
    degrees: float = 0.0
    turns: int = 0  # by 90 degrees
    flips: bool = False
    cover_x1: int = 0  # nothing is covered where x2 is no more than x1
    cover_y1: int = 0
    cover_x2: int = 0
    cover_y2: int = 0
    cover_by_part: bool = False  # with its upper left corner; or else by a colour
    cover_x: int = 0
    cover_y: int = 0
    cover_red: int = 0
    cover_green: int = 0
    cover_blue: int = 0
    small: int = 0  # side down to which it is blurred; 0: it is not
    gamma: float = 0.0  # 0: nothing is darkened
    gain: float = 0.0
    deviation: float = 0.0
    noise_begin: int = 0
    quality: int = 0  # 0: nothing is compressed


_SAME_COLOURS = np.eye(3, 4, dtype=np.float32)
# Tiles are made so many pixels at a time, of their sources or of themselves.
_PIXELS_AT_A_TIME = 1 << 24


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Training images whose pixels are not made yet, see `s3fd.data.rendering.render`.

    Attributes:
        size: side of each image.
        count: how many they are.
        pixels: uint8 ``[P, 3]``, the sources of all tiles, one after the other, row by row.
        offsets: int64 ``[T]``, where there each of them begins.
        tiles: float32 ``[T, len(Tile._fields)]``, a `Tile` a row; its whole numbers are exact.
        colours: float32 ``[T, 3, 4]``, as `s3fd.data.colour.recolour` takes them.
        groups: how many tiles can be made together, from the first on.
    """

    size: int
    count: int
    pixels: Tensor
    offsets: Tensor
    tiles: Tensor
    colours: Tensor
    groups: tuple[int, ...]

    def map(self, function: Callable[[Tensor], Tensor]) -> PackedImages:
        """The same with other tensors."""
        return replace(
            self,
            pixels=function(self.pixels),
            offsets=function(self.offsets),
            tiles=function(self.tiles),
            colours=function(self.colours),
        )


class _Piece(NamedTuple):
    tile: Tile
    source: UInt8Array
    colours: FloatArray


def pack(images: Sequence[Pixels]) -> PackedImages:
    """Square images of one size, planned or not, as tensors."""
    pieces = [
        _piece(number, *placed)
        for number, image in enumerate(images)
        for placed in (image.pieces if isinstance(image, Laid) else ((image, 0, 0),))
    ]
    groups = list(_groups([piece.tile for piece in pieces]))
    pieces = [pieces[number] for group in groups for number in group]
    ends = np.cumsum([piece.tile.height * piece.tile.width for piece in pieces])
    pixels = np.empty((ends[-1], 3), np.uint8)
    for piece, part in zip(pieces, np.split(pixels, ends[:-1]), strict=True):
        part.reshape(piece.source.shape)[:] = piece.source  # itself a part of a photo: copied once
    return PackedImages(
        images[0].shape[0],
        len(images),
        torch.from_numpy(pixels),
        torch.from_numpy(np.concatenate([[0], ends[:-1]])),
        torch.from_numpy(np.array([piece.tile for piece in pieces], np.float32)),
        torch.from_numpy(np.stack([piece.colours for piece in pieces])),
        tuple(map(len, groups)),
    )


def _piece(image: int, pixels: UInt8Array | Planned, x: int, y: int) -> _Piece:
    plan = _in_order(pixels)
    height, width = plan.source.shape[:2]
    tile = Tile(
        image, x, y, plan.shape[0],
        height, width,
        outer=height, left=0, across=width, top=0, down=height,
    )  # fmt: skip
    colours = _SAME_COLOURS
    for function, arguments in plan.steps:
        if function is cut and arguments[3] is not None:
            colours = arguments[3]
        tile = tile._replace(**_NUMBERS[function](tile, *arguments))
    return _Piece(tile, plan.source, colours)


def _groups(tiles: Sequence[Tile]) -> Iterator[list[int]]:
    """Numbers of tiles that can be made together; the large ones, on which others lie, first."""
    kinds = [(-tile.side, tile.outer != tile.side) for tile in tiles]
    heights = [max(tile.height, tile.outer) for tile in tiles]
    widths = [max(tile.width, tile.outer) for tile in tiles]
    group: list[int] = []
    tall = wide = 0  # all sources of a group are padded to one height and one width
    for number in sorted(range(len(tiles)), key=lambda n: (*kinds[n], heights[n] * widths[n])):
        tall, wide = max(tall, heights[number]), max(wide, widths[number])
        full = (len(group) + 1) * tall * wide > _PIXELS_AT_A_TIME
        if group and (full or kinds[number] != kinds[group[0]]):
            yield group
            group, tall, wide = [], heights[number], widths[number]
        group.append(number)
    yield group


def _in_order(pixels: UInt8Array | Planned) -> Planned:
    """A plan that a `Tile` can tell; what would come in another order is made here and now."""
    if isinstance(pixels, Planned):
        functions = [step.function for step in pixels.steps]
        places = [_ORDER.index(function) if function in _ORDER else -1 for function in functions]
        if places[:1] == [0] and places == sorted(set(places)):
            return pixels
    image = pixels_of(pixels)
    return Planned(image, image.shape)


def _of_cut(
    tile: Tile, across: Span, down: Span, size: int, colours: FloatArray | None, beyond: Beyond
) -> dict[str, Any]:
    numbers = {
        "outer": size,
        "left": across.start,
        "across": across.length,
        "top": down.start,
        "down": down.length,
        "mirrors": beyond == "mirror",
    }
    if beyond != "mirror":
        numbers |= zip(("red", "green", "blue"), beyond, strict=True)
    return numbers


def _of_cover(tile: Tile, box: tuple[int, int, int, int], by: tuple[int, ...]) -> dict[str, Any]:
    names = ["cover_x1", "cover_y1", "cover_x2", "cover_y2"]
    names += ["cover_x", "cover_y"] if len(by) == 2 else ["cover_red", "cover_green", "cover_blue"]
    return {**dict(zip(names, (*box, *by), strict=True)), "cover_by_part": len(by) == 2}


def _of_blur(tile: Tile, factor: float) -> dict[str, Any]:
    return {"small": max(2, round(tile.side / factor))}


# What each function does, as numbers, in the order in which a tile may have them: that of
# `rendering`, too.
_NUMBERS: dict[PixelFunction, Callable[..., dict[str, Any]]] = {
    cut: _of_cut,
    turned: lambda tile, degrees, side: {"degrees": degrees},
    quarter_turned: lambda tile, turns: {"turns": turns},
    mirrored: lambda tile: {"flips": True},
    wear.cover: _of_cover,
    wear.blur: _of_blur,
    wear.darken: lambda tile, gamma, gain: {"gamma": gamma, "gain": gain},
    wear.add_noise: lambda tile, deviation, begin: {"deviation": deviation, "noise_begin": begin},
    wear.compress: lambda tile, quality: {"quality": quality},
}
_ORDER = list(_NUMBERS)
