"""Makes the pixels of planned training images on a device, many tiles at a time.

Each function is the twin of one of `s3fd.data.pixels`, `s3fd.data.colour` and `s3fd.data.wear`,
and gives its levels but for rounding, those of a JPEG but for that of its coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from s3fd.data import wear
from s3fd.data.jpeg import compressed
from s3fd.data.packing import PackedImages, Tile

# Tiles are made so many pixels at a time, of their sources or of themselves.
_PIXELS_AT_A_TIME = 1 << 24
_COLUMNS = {name: number for number, name in enumerate(Tile._fields)}


class _Tiles:
    """Some of the tiles of a batch, which are equally large: their numbers by name.

    What decides which code runs is read on the host, `host`; what is computed with, on the device.
    """

    def __init__(self, rows: Tensor, colours: Tensor, device: torch.device) -> None:
        self.host = rows.numpy()
        self.colours = colours.to(device, non_blocking=True)
        self._rows = rows.to(device, non_blocking=True)

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, name: str) -> Tensor:
        """``[T]`` on the device."""
        return self._rows[:, _COLUMNS[name]]

    def read(self, name: str) -> np.ndarray:
        """``[T]`` on the host."""
        return self.host[:, _COLUMNS[name]]

    def where(self, name: str) -> Tensor:
        """Indices on the device of those whose number is not 0."""
        return torch.from_numpy(self.read(name).nonzero()[0]).to(self._rows.device)


def render(packed: PackedImages, device: torch.device | str) -> Tensor:
    """The images, uint8 ``[B, 3, S, S]``, channels last in memory, on the device.

    Args:
        packed: on the host; its pixels may be on the device already.
        device: where they are made.
    """
    device = torch.device(device)
    pixels = packed.pixels.to(device, non_blocking=True)
    size = packed.size
    images = torch.zeros(packed.count, size, size, 3, dtype=torch.uint8, device=device)
    for numbers in _groups(packed):
        tiles = _Tiles(packed.tiles[numbers], packed.colours[numbers], device)
        side = int(tiles.read("side")[0])
        along = torch.arange(side, device=device)
        rows = tiles["y"].long()[:, None, None] + along[:, None]
        columns = tiles["x"].long()[:, None, None] + along
        made = _worn(_upright(pixels, tiles, side), tiles, side)
        images[tiles["image"].long()[:, None, None], rows, columns] = made.to(torch.uint8)
    return _without_gaps(images, packed).permute(0, 3, 1, 2)


def _groups(packed: PackedImages) -> Iterator[list[int]]:
    """Numbers of tiles that can be made together; the large ones, on which others lie, first."""
    table = packed.tiles.numpy()
    side, outer, height, width = (
        table[:, _COLUMNS[name]] for name in ("side", "outer", "height", "width")
    )
    kinds = list(zip((-side).tolist(), (outer != side).tolist(), strict=True))
    heights, widths = (np.maximum(length, outer).tolist() for length in (height, width))
    group: list[int] = []
    tall = wide = 0.0  # all sources of a group are padded to one height and one width
    for number in sorted(range(len(table)), key=lambda n: (*kinds[n], heights[n] * widths[n])):
        tall, wide = max(tall, heights[number]), max(wide, widths[number])
        full = (len(group) + 1) * tall * wide > _PIXELS_AT_A_TIME
        if group and (full or kinds[number] != kinds[group[0]]):
            yield group
            group, tall, wide = [], heights[number], widths[number]
        group.append(number)
    yield group


def _without_gaps(images: Tensor, packed: PackedImages) -> Tensor:
    """What tiles leave free at the right and the bottom repeats their last pixels."""
    table = packed.tiles.numpy()
    ends = np.zeros(packed.count)
    image, x, side = (table[:, _COLUMNS[name]] for name in ("image", "x", "side"))
    np.maximum.at(ends, image.astype(int), x + side)
    for number in (ends < packed.size).nonzero()[0].tolist():
        end = int(ends[number])
        images[number, :end, end:] = images[number, :end, end - 1 : end].clone()
        images[number, end:] = images[number, end - 1].clone()
    return images


def _upright(pixels: Tensor, tiles: _Tiles, side: int) -> Tensor:
    """Tiles ``[T, S, S, 3]`` as they lie, whole numbers in float32, before anything wears them."""
    outer = int(tiles.read("outer").max())
    image = _cut(pixels, tiles, outer)
    if (tiles.read("outer") != side).any() or tiles.read("degrees").any():
        image = _turned(image, tiles, side)
    turns = tiles.read("turns")
    for number in (1, 2, 3):
        if (turns == number).any():
            which = torch.from_numpy((turns == number).nonzero()[0]).to(image.device)
            image[which] = image[which].rot90(number, (1, 2))
    if len(which := tiles.where("flips")):
        image[which] = image[which].flip(2)
    return image


def _worn(image: Tensor, tiles: _Tiles, side: int) -> Tensor:
    covered = (tiles.read("cover_x2") > tiles.read("cover_x1")).nonzero()[0]
    for number in covered.tolist():
        _cover(image[number], Tile(*tiles.host[number]))
    if len(which := tiles.where("blurred")):
        image[which] = _blurred(image[which], tiles["blurred"][which])
    if len(which := tiles.where("gamma")):
        gamma, gain = (tiles[name][which, None, None, None].float() for name in ("gamma", "gain"))
        image[which] = (255 * gain * (image[which] / 255) ** gamma).clamp(0, 255).floor()
    if len(which := tiles.where("deviation")):
        drawn = _noise(tiles["noise_begin"][which].long(), 3 * side * side)
        more = tiles["deviation"][which, None].float() * drawn
        noisy = image[which] + more.view(-1, side, side, 3)
        image[which] = noisy.clamp(0, 255).floor()
    if len(which := tiles.where("quality")):
        image[which] = compressed(image[which], tiles["quality"][which])
    return image


def _cut(pixels: Tensor, tiles: _Tiles, outer: int) -> Tensor:
    """The twin of `pixels.cut`: sources scaled and recoloured, and what lies beyond them."""
    height, width = int(tiles.read("height").max()), int(tiles.read("width").max())
    down, across = (
        torch.arange(length, device=pixels.device).minimum(tiles[name].long()[:, None] - 1)
        for length, name in ((height, "height"), (width, "width"))
    )
    rows = tiles["offset"].long()[:, None] + down * tiles["width"].long()[:, None]
    source = pixels[rows[:, :, None] + across[:, None]].float()  # [T, H, W, 3]
    x, inside_x = _inner(outer, tiles["left"], tiles["across"], tiles["mirrors"])
    y, inside_y = _inner(outer, tiles["top"], tiles["down"], tiles["mirrors"])
    image = _scaled(
        source,
        _weights(y, tiles["down"], tiles["height"], height),
        _weights(x, tiles["across"], tiles["width"], width),
    )
    matrix, shift = tiles.colours[:, :, :3], tiles.colours[:, None, None, :, 3]
    image = torch.einsum("nyxc,ndc->nyxd", image, matrix) + shift
    image = (image + 0.5).clamp(0, 255).floor()
    beyond = torch.stack([tiles[name] for name in ("red", "green", "blue")], 1).float()
    inside = inside_y[:, :, None, None] & inside_x[:, None, :, None]
    return torch.where(inside, image, beyond[:, None, None])


def _inner(outer: int, start: Tensor, length: Tensor, mirrors: Tensor) -> tuple[Tensor, Tensor]:
    """Which place of the scaled source each place along an axis shows, if any: two ``[T, S]``."""
    length = length[:, None]
    place = torch.arange(outer, device=start.device) - start[:, None]
    inside = (place >= 0) & (place < length)
    again = place.remainder(2 * length)
    reflected = torch.minimum(again, 2 * length - 1 - again)
    is_mirror = mirrors[:, None] != 0
    return torch.where(is_mirror, reflected, place.clamp(min=0).minimum(length - 1)), (
        inside | is_mirror
    )


def _weights(place: Tensor, length: Tensor, available: Tensor, most: int) -> Tensor:
    """Of each of `most` pixels along an axis, for places ``[T, S]`` of a result of some length.

    Those of an antialiased bilinear resize: a triangle as wide as two pixels of the coarser grid.
    """
    ratio = (available / length)[:, None]  # float64, as the host computes it
    middle = (place + 0.5) * ratio
    pixel = torch.arange(most, device=place.device) + 0.5
    away = (pixel - middle[:, :, None]).abs() / ratio.clamp(min=1)[:, :, None]
    weights = (1 - away).clamp(min=0) * (pixel < available[:, None])[:, None]
    return (weights / weights.sum(dim=2, keepdim=True)).float()


def _scaled(image: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """``[T, H, W, 3]`` by weights ``[T, h, H]`` and ``[T, w, W]``; bytes lie between the two."""
    rows = torch.einsum("nxw,nhwc->nhxc", across, image).round()
    return torch.einsum("nyh,nhxc->nyxc", down, rows).round()


def _turned(image: Tensor, tiles: _Tiles, side: int) -> Tensor:
    """The twin of `pixels.turned`."""
    angle = torch.deg2rad(tiles["degrees"])[:, None, None]
    cos, sin = angle.cos(), angle.sin()
    along = torch.arange(side, device=image.device) + 0.5 - side / 2
    x, y = along[None, None, :], along[None, :, None]
    outer = tiles["outer"][:, None, None]
    x, y = (
        (outer / 2 - 0.5 + cos * x - sin * y).clamp(min=0).minimum(outer - 1),
        (outer / 2 - 0.5 + sin * x + cos * y).clamp(min=0).minimum(outer - 1),
    )
    left, top = x.floor(), y.floor()
    right, bottom = (left + 1).minimum(outer - 1), (top + 1).minimum(outer - 1)
    share_x, share_y = (x - left)[..., None].float(), (y - top)[..., None].float()
    which = torch.arange(len(image), device=image.device)[:, None, None]

    def at(rows: Tensor, columns: Tensor) -> Tensor:
        return image[which, rows.long(), columns.long()]

    above = torch.lerp(at(top, left), at(top, right), share_x)
    below = torch.lerp(at(bottom, left), at(bottom, right), share_x)
    return torch.lerp(above, below, share_y).floor()  # as Pillow does


def _cover(image: Tensor, tile: Tile) -> None:
    """The twin of `wear.cover`, in place."""
    x1, y1, x2, y2 = (
        int(value) for value in (tile.cover_x1, tile.cover_y1, tile.cover_x2, tile.cover_y2)
    )
    if tile.cover_by_part:
        left, top = int(tile.cover_x), int(tile.cover_y)
        image[y1:y2, x1:x2] = image[top : top + y2 - y1, left : left + x2 - x1].clone()
    else:
        for channel, level in enumerate((tile.cover_red, tile.cover_green, tile.cover_blue)):
            image[y1:y2, x1:x2, channel] = level


def _blurred(image: Tensor, factor: Tensor) -> Tensor:
    """The twin of `wear.blur`."""
    side = torch.full_like(factor, image.shape[1])
    small = (side / factor).round().clamp(min=2)
    most = image.shape[1]  # no factor is below 1

    def weights(length: Tensor, available: Tensor) -> Tensor:
        place = torch.arange(most, device=image.device).minimum(length[:, None] - 1)
        return _weights(place, length, available, most)

    fewer, more = weights(small, side), weights(side, small)
    return _scaled(_scaled(image, fewer, fewer), more, more)


def _noise(begins: Tensor, count: int) -> Tensor:
    """``[T, count]`` of the normal numbers from each of `begins` on."""
    pool = _pool(begins.device)
    return pool[(begins[:, None] + torch.arange(count, device=begins.device)) % len(pool)]


@lru_cache(maxsize=8)
def _pool(device: torch.device) -> Tensor:
    return torch.from_numpy(wear.normal_numbers()).to(device)
