"""Makes the pixels of planned training images on a device, many tiles at a time.

Each function is the twin of one of `s3fd.data.pixels`, `s3fd.data.colour` and `s3fd.data.wear`,
and gives its levels but for rounding, those of a JPEG but for that of its coefficients.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from s3fd.data import wear
from s3fd.data.jpeg import compressed
from s3fd.data.packing import PackedImages, Tile

_COLUMNS = {name: number for number, name in enumerate(Tile._fields)}


class _Tiles:
    """Some of the tiles of a batch, which are equally large: their numbers by name.

    What decides which code runs is read on the host; what is computed with, on the device. The host
    waits for nothing there.
    """

    def __init__(self, packed: PackedImages, which: slice, device: torch.device) -> None:
        self._host = packed.tiles[which].numpy()
        self._rows, self.offsets, self.colours = (
            tensor[which].to(device, non_blocking=True)
            for tensor in (packed.tiles, packed.offsets, packed.colours)
        )

    def __getitem__(self, name: str) -> Tensor:
        """float32 ``[T]`` on the device, exact below 2 ** 24."""
        return self._rows[:, _COLUMNS[name]]

    def read(self, name: str) -> np.ndarray:
        """``[T]`` on the host."""
        return self._host[:, _COLUMNS[name]]

    def tile(self, number: int) -> Tile:
        """All numbers of one of them."""
        return Tile(*self._host[number].tolist())

    def where(self, chosen: np.ndarray) -> Tensor:
        """Which of them are chosen, by their numbers on the device."""
        numbers = torch.from_numpy(chosen.nonzero()[0])
        return numbers.to(self._rows.device, non_blocking=True)


def render(packed: PackedImages, device: torch.device | str) -> Tensor:
    """The images, uint8 ``[B, 3, S, S]``, channels last in memory, on the device.

    Args:
        packed: on the host, best in page-locked memory.
        device: where they are made. Products of matrices should be those of float32 there, which is
            torch's default: in TF32 more levels are one off.
    """
    device = torch.device(device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        return _images(packed, device).permute(0, 3, 1, 2)


def _images(packed: PackedImages, device: torch.device) -> Tensor:
    pixels = packed.pixels.to(device, non_blocking=True)
    size = packed.size
    images = torch.zeros(packed.count, size, size, 3, dtype=torch.uint8, device=device)
    begin = 0
    for count in packed.groups:
        tiles = _Tiles(packed, slice(begin, begin + count), device)
        side = int(tiles.read("side")[0])
        along = torch.arange(side, device=device)
        rows = tiles["y"].long()[:, None, None] + along[:, None]
        columns = tiles["x"].long()[:, None, None] + along
        made = _worn(_upright(pixels, tiles, side), tiles, side)
        images[tiles["image"].long()[:, None, None], rows, columns] = made.to(torch.uint8)
        begin += count
    return _without_gaps(images, packed)


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
    for number in (1, 2, 3):
        if len(which := tiles.where(tiles.read("turns") == number)):
            image[which] = image[which].rot90(number, (1, 2))
    if len(which := tiles.where(tiles.read("flips"))):
        image[which] = image[which].flip(2)
    return image


def _worn(image: Tensor, tiles: _Tiles, side: int) -> Tensor:
    for number in (tiles.read("cover_x2") > tiles.read("cover_x1")).nonzero()[0].tolist():
        _cover(image[number], tiles.tile(number))
    if len(which := tiles.where(tiles.read("small"))):
        image[which] = _blurred(image[which], tiles["small"][which])
    if len(which := tiles.where(tiles.read("gamma"))):
        gamma, gain = (tiles[name][which, None, None, None] for name in ("gamma", "gain"))
        image[which] = (255 * gain * (image[which] / 255) ** gamma).clamp(0, 255).floor()
    if len(which := tiles.where(tiles.read("deviation"))):
        drawn = _noise(tiles["noise_begin"][which].long(), 3 * side * side)
        more = (tiles["deviation"][which, None] * drawn).view(-1, side, side, 3)
        image[which] = (image[which] + more).clamp(0, 255).floor()
    if len(which := tiles.where(tiles.read("quality"))):
        image[which] = compressed(image[which], tiles["quality"][which])
    return image


def _cut(pixels: Tensor, tiles: _Tiles, outer: int) -> Tensor:
    """The twin of `pixels.cut`: sources scaled and recoloured, and what lies beyond them."""
    height, width = int(tiles.read("height").max()), int(tiles.read("width").max())
    down, across = (
        torch.arange(length, device=pixels.device).minimum(tiles[name].long()[:, None] - 1)
        for length, name in ((height, "height"), (width, "width"))
    )
    rows = tiles.offsets[:, None] + down * tiles["width"].long()[:, None]
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
    beyond = torch.stack([tiles[name] for name in ("red", "green", "blue")], 1)
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
    ratio = (available / length)[:, None]
    middle = (place + 0.5) * ratio
    pixel = torch.arange(most, dtype=torch.float32, device=place.device) + 0.5
    away = (pixel - middle[:, :, None]).abs() / ratio.clamp(min=1)[:, :, None]
    weights = (1 - away).clamp(min=0) * (pixel < available[:, None])[:, None]
    return weights / weights.sum(dim=2, keepdim=True)


def _scaled(image: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """``[T, H, W, 3]`` by weights ``[T, h, H]`` and ``[T, w, W]``; bytes lie between the two.

    Halves are rounded up, as on the host: of a photo that is halved an eighth of the levels is one.
    """
    rows = (torch.einsum("nxw,nhwc->nhxc", across, image) + 0.5).floor()
    return (torch.einsum("nyh,nhxc->nyxc", down, rows) + 0.5).floor()


def _turned(image: Tensor, tiles: _Tiles, side: int) -> Tensor:
    """The twin of `pixels.turned`."""
    angle = torch.deg2rad(tiles["degrees"])[:, None, None]
    cos, sin = angle.cos(), angle.sin()
    along = torch.arange(side, dtype=torch.float32, device=image.device) + 0.5 - side / 2
    x, y = along[None, None, :], along[None, :, None]
    outer = tiles["outer"][:, None, None]
    x, y = (
        (outer / 2 - 0.5 + cos * x - sin * y).clamp(min=0).minimum(outer - 1),
        (outer / 2 - 0.5 + sin * x + cos * y).clamp(min=0).minimum(outer - 1),
    )
    left, top = x.floor(), y.floor()
    right, bottom = (left + 1).minimum(outer - 1), (top + 1).minimum(outer - 1)
    share_x, share_y = (x - left)[..., None], (y - top)[..., None]
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


def _blurred(image: Tensor, small: Tensor) -> Tensor:
    """The twin of `wear.blur`: down to small sides ``[T]``, and up again."""
    side = torch.full_like(small, image.shape[1])
    most = max(2, image.shape[1])

    def weights(length: Tensor, available: Tensor) -> Tensor:
        place = torch.arange(most, device=image.device).minimum(length[:, None] - 1)
        return _weights(place, length, available, most)

    fewer, more = weights(small, side), weights(side, small)
    return _scaled(_scaled(image, fewer, fewer), more, more)


def _noise(begins: Tensor, count: int) -> Tensor:
    """``[T, count]`` of the normal numbers from each of `begins` on, again and again."""
    pool = _pool(begins.device)
    if count > len(pool):
        pool = pool.repeat(-(-count // len(pool)))
    return pool.unfold(0, count, 1)[begins]


@lru_cache(maxsize=8)
def _pool(device: torch.device) -> Tensor:
    return torch.from_numpy(wear.normal_numbers()).to(device)
