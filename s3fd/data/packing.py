"""Planned training images as a few tensors, which cross from a worker process to a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from s3fd.data import wear
from s3fd.data.annotations import FloatArray
from s3fd.data.pixels import Beyond, Span, cut, quarter_turned, turned
from s3fd.data.plans import Function, Laid, Pixels, Planned, rendered
from s3fd.images import UInt8Array
from s3fd.images.resize import mirrored


class Tile(NamedTuple):
    """What a tile is made of, and what is done to it, in the order of these numbers."""

    image: int  # which one it lies in, and where, and how large it is there
    x: int
    y: int
    side: int
    offset: int  # of its source in `PackedImages.pixels`
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
    blurred: float = 0.0
    gamma: float = 0.0  # 0: nothing is darkened
    gain: float = 0.0
    deviation: float = 0.0
    noise_begin: int = 0
    quality: int = 0  # 0: nothing is compressed


_SAME_COLOURS = np.eye(3, 4, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Training images whose pixels are not made yet, see `s3fd.data.rendering.render`.

    Attributes:
        size: side of each image.
        count: how many they are.
        pixels: uint8 ``[P, 3]``, the sources of all tiles, one after the other, row by row.
        tiles: float64 ``[T, len(Tile._fields)]``, a `Tile` a row, those below before those above.
        colours: float32 ``[T, 3, 4]``, as `s3fd.data.colour.recolour` takes them.
    """

    size: int
    count: int
    pixels: Tensor
    tiles: Tensor
    colours: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> PackedImages:
        """The same with other tensors."""
        return replace(
            self,
            pixels=function(self.pixels),
            tiles=function(self.tiles),
            colours=function(self.colours),
        )


def pack(images: Sequence[Pixels]) -> PackedImages:
    """Square images of one size, planned or not, as tensors."""
    sources: list[tuple[int, UInt8Array]] = []
    tiles: list[Tile] = []
    colours: list[FloatArray] = []
    offset = 0
    for number, image in enumerate(images):
        for pixels, x, y in image.pieces if isinstance(image, Laid) else ((image, 0, 0),):
            plan = _in_order(pixels)
            height, width = plan.source.shape[:2]
            tile = Tile(
                number, x, y, plan.shape[0],
                offset, height, width,
                outer=height, left=0, across=width, top=0, down=height,
            )  # fmt: skip
            own_colours = _SAME_COLOURS
            for function, arguments in plan.steps:
                if function is cut and arguments[3] is not None:
                    own_colours = arguments[3]
                tile = tile._replace(**_NUMBERS[function](*arguments))
            sources.append((offset, plan.source))
            tiles.append(tile)
            colours.append(own_colours)
            offset += height * width
    packed = np.empty((offset, 3), np.uint8)
    for begin, source in sources:  # which is a part of a photo: copied once
        height, width = source.shape[:2]
        packed[begin : begin + height * width].reshape(source.shape)[:] = source
    return PackedImages(
        images[0].shape[0],
        len(images),
        torch.from_numpy(packed),
        torch.from_numpy(np.array(tiles, np.float64)),
        torch.from_numpy(np.stack(colours)),
    )


def _in_order(pixels: UInt8Array | Planned) -> Planned:
    """A plan that a `Tile` can tell; what would come in another order is made here and now."""
    if isinstance(pixels, Planned):
        functions = [step.function for step in pixels.steps]
        places = [_ORDER.index(function) if function in _ORDER else -1 for function in functions]
        if places[:1] == [0] and places == sorted(set(places)):
            return pixels
    image = rendered(pixels)
    return Planned(image, image.shape)


def _of_cut(
    across: Span, down: Span, size: int, colours: FloatArray | None, beyond: Beyond
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


def _of_cover(box: tuple[int, int, int, int], by: tuple[int, ...]) -> dict[str, Any]:
    names = ["cover_x1", "cover_y1", "cover_x2", "cover_y2"]
    names += ["cover_x", "cover_y"] if len(by) == 2 else ["cover_red", "cover_green", "cover_blue"]
    return {**dict(zip(names, (*box, *by), strict=True)), "cover_by_part": len(by) == 2}


# What each function does, as numbers, in the order in which a tile may have them.
_NUMBERS: dict[Function, Callable[..., dict[str, Any]]] = {
    cut: _of_cut,
    turned: lambda degrees, side: {"degrees": degrees},
    quarter_turned: lambda turns: {"turns": turns},
    mirrored: lambda: {"flips": True},
    wear.cover: _of_cover,
    wear.blur: lambda factor: {"blurred": factor},
    wear.darken: lambda gamma, gain: {"gamma": gamma, "gain": gain},
    wear.add_noise: lambda deviation, begin: {"deviation": deviation, "noise_begin": begin},
    wear.compress: lambda quality: {"quality": quality},
}
_ORDER = list(_NUMBERS)
