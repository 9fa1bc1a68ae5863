"""What happens to the pixels and the boxes of a training image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from s3fd.data.annotations import FloatArray, has_area
from s3fd.data.patches import Patch, kept_faces
from s3fd.data.photo import OpenPhoto
from s3fd.data.pixels import Beyond, Colour, Span, cut, quarter_turned, turned
from s3fd.data.plans import Pixels, Planned, do, lay, pixels_of
from s3fd.images import UInt8Array
from s3fd.images.resize import mirrored

# What lies beyond a photo: the mean colour of ImageNet.
_MEAN: Colour = (123, 117, 104)

# How many times more pixels than a tile has its source may have in a plan: a cache, and JPEG, give
# hardly more than four, while a PNG comes as large as it is.
_MOST_OF_A_SOURCE = 5

# A spot ends where e to the minus this is left of it: less than half a level of 255.
_SPOT_ENDS = 6.3


@dataclass(frozen=True, eq=False)
class Sample:
    """A square training image.

    Attributes:
        image: uint8 ``[S, S, 3]``, RGB, or how it will be made.
        boxes: float32 ``[N, 4]``, faces, in its pixels.
        ignore: float32 ``[M, 4]``, regions that are neither face nor background.
        tiny: how many faces became ignore boxes because they are too small in it.
    """

    image: Pixels
    boxes: FloatArray
    ignore: FloatArray
    tiny: int = 0


def crop(
    photo: OpenPhoto,
    patch: Patch,
    size: int,
    colours: FloatArray | None = None,
    beyond: Beyond = _MEAN,
    *,
    all_boxes: bool = False,
) -> Sample:
    """Cuts a square patch out of the photo and scales it to ``size x size``.

    Faces are kept, clipped, if their centre lies in the patch and they are not too small
    (`patches.kept_faces`). Of the others, what is visible becomes an ignore box.

    Args:
        photo: decoded by this.
        patch: which square; its edges are moved to the nearest pixels of the decoded photo.
        size: side of the result.
        colours: ``[3, 4]`` from `colour_distortion`, or None to leave the colours as they are.
        beyond: what lies beyond the photo: one colour, or ``"mirror"``, the photo mirrored at its
            edges. What is seen of faces there becomes an ignore box.
        all_boxes: leave all boxes of the photo as they are, wherever they lie: for `rotate`.

    Raises:
        s3fd.images.ImageError: the file is damaged.
    """
    rgb = photo.decode(size / patch.side)
    x_zoom, y_zoom = rgb.shape[1] / photo.width, rgb.shape[0] / photo.height
    across = Span.of(patch.x * x_zoom, patch.side * x_zoom, rgb.shape[1], size)
    down = Span.of(patch.y * y_zoom, patch.side * y_zoom, rgb.shape[0], size)
    zooms = np.array([x_zoom, y_zoom] * 2)
    origin = np.array([across.first, down.first] * 2)
    scales = np.array([across.scale, down.scale] * 2)
    boxes, ignore = (
        ((each * zooms - origin) * scales).astype(np.float32)
        for each in (photo.boxes, photo.ignore)
    )
    part = rgb[down.part, across.part]
    begin = _begun(part, size) if photo.planned else part
    pixels = do(cut, begin, across, down, size, colours, beyond, side=size)
    if beyond == "mirror":
        every = np.concatenate([boxes, ignore])
        ignore = np.concatenate([ignore, _in_mirrors(every, across, down, size)])
    sample = Sample(pixels, boxes, ignore)
    return sample if all_boxes else _judged(sample)


def _begun(part: UInt8Array, size: int) -> UInt8Array | Planned:
    """The plan of what becomes of a part of a photo, unless it is far larger than that."""
    if part.size > _MOST_OF_A_SOURCE * 3 * size * size:
        return part
    # What no file holds would keep the whole decoded photo in memory.
    return Planned(part if isinstance(part, np.memmap) else part.copy(), part.shape)


def _judged(sample: Sample) -> Sample:
    """Which of the boxes, wherever they lie, are faces to learn, and which are to be ignored."""
    size = sample.image.shape[0]
    kept, tiny = kept_faces(sample.boxes, size)
    ignore = np.concatenate([sample.boxes[~kept], sample.ignore]).clip(0, size)
    return Sample(
        sample.image,
        sample.boxes[kept].clip(0, size),
        ignore[has_area(ignore)],
        sample.tiny + int(tiny.sum()),
    )


def _in_mirrors(boxes: FloatArray, across: Span, down: Span, size: int) -> FloatArray:
    """Boxes as they are seen in the mirror images around a photo, up to `size`."""
    seen = boxes.clip([across.start, down.start] * 2, [across.stop, down.stop] * 2)
    seen = seen[has_area(seen)]
    columns = _repeated(seen[:, [0, 2]], across, size)[None]  # [1, C, N, 2]
    rows = _repeated(seen[:, [1, 3]], down, size)[:, None]  # [R, 1, N, 2]
    images = np.stack(np.broadcast_arrays(columns, rows), axis=-1)  # [R, C, N, 2, 2]: x1 y1, x2 y2
    images = images.reshape(len(rows) * columns.shape[1], -1, 4)
    itself = down.mirrors_before * columns.shape[1] + across.mirrors_before
    return np.delete(images, itself, axis=0).reshape(-1, 4)


def _repeated(ends: FloatArray, span: Span, size: int) -> FloatArray:
    """Ends ``[N, 2]`` in a photo and its mirror images along an axis, in order: ``[M, N, 2]``."""
    after = -((span.stop - size) // span.length)
    numbers = np.arange(-span.mirrors_before, after + 1)[:, None, None]
    turned = span.start + span.stop - ends[:, ::-1]
    return (np.where(numbers % 2, turned, ends) + numbers * span.length).astype(np.float32)


def flip(sample: Sample) -> Sample:
    """Mirrors left and right."""
    width = sample.image.shape[1]
    return Sample(
        do(mirrored, sample.image),
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
    places = [(column * side, row * side) for row in range(count) for column in range(count)]
    pieces = [(tile.image, x, y) for tile, (x, y) in zip(tiles, places, strict=True)]
    shifts = [np.array([x, y, x, y], dtype=np.float32) for x, y in places]
    return Sample(
        lay(pieces, size),
        np.concatenate([tile.boxes + shift for tile, shift in zip(tiles, shifts, strict=True)]),
        np.concatenate([tile.ignore + shift for tile, shift in zip(tiles, shifts, strict=True)]),
        sum(tile.tiny for tile in tiles),
    )


def plain(size: int, rng: np.random.Generator) -> Sample:
    """A square of one colour, or of a few that fade into each other: no face, nothing to see.

    Black, white and grey are as likely as all other colours: frames and borders have them.
    """
    knots = int(rng.integers(1, 6))
    colour = rng.uniform(0, 255, 3)
    if rng.random() < 0.5:
        colour[:] = rng.choice([0.0, 255.0, colour[0]])
    spread = rng.uniform(0, 64) if knots > 1 else 0.0
    colours = colour + spread * rng.standard_normal((knots, knots, 3))
    image = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    none = np.zeros((0, 4), dtype=np.float32)
    return Sample(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)), none, none)


def spotted(ground: Sample, rng: np.random.Generator) -> Sample:
    """A few soft ellipses of light or shadow: lamps and reflections are as round as heads."""
    size = ground.image.shape[0]
    image = pixels_of(ground.image).astype(np.float32)
    for _ in range(int(rng.integers(1, 5))):
        x, y = rng.uniform(0, size, 2)
        width = size * math.exp(rng.uniform(math.log(0.02), math.log(0.3)))
        height = width * math.exp(rng.uniform(-0.5, 0.7))
        power, share = rng.uniform(0.7, 4.0), rng.uniform(0.2, 1.0)
        light = rng.uniform(0, 255, 3).astype(np.float32)
        reach = _SPOT_ENDS ** (0.5 / power)
        (columns, across), (rows, down) = (
            _near(x, reach * width, size),
            _near(y, reach * height, size),
        )
        away = ((across - x) / width) ** 2 + ((down[:, None] - y) / height) ** 2
        shares = (share * np.exp(-(away**power)))[..., None]
        image[rows, columns] += shares * (light - image[rows, columns])
    return Sample(image.clip(0, 255).astype(np.uint8), ground.boxes, ground.ignore, ground.tiny)


def _near(middle: float, reach: float, size: int) -> tuple[slice, FloatArray]:
    """Which of `size` pixels are within reach, at least one, and where they are."""
    first = min(max(math.ceil(middle - reach), 0), size - 1)
    end = max(min(math.floor(middle + reach) + 1, size), first + 1)
    return slice(first, end), np.arange(first, end, dtype=np.float32)


def place(tile: Sample, ground: Sample, rng: np.random.Generator) -> Sample:
    """Lays a small square sample somewhere on a larger one, of which no face is learned.

    What may be a face there, and perhaps is covered, becomes an ignore box.
    """
    room = ground.image.shape[0] - tile.image.shape[0]
    x, y = (int(offset) for offset in rng.integers(0, room + 1, size=2))
    image = lay([(ground.image, 0, 0), (tile.image, x, y)], ground.image.shape[0])
    shift = np.array([x, y, x, y], dtype=np.float32)
    ignore = np.concatenate([ground.boxes, ground.ignore, tile.ignore + shift])
    return Sample(image, tile.boxes + shift, ignore, tile.tiny)


def quarter_turn(sample: Sample, turns: int) -> Sample:
    """Turns by `turns` times 90 degrees, against the clock."""
    image, boxes, ignore = sample.image, sample.boxes, sample.ignore
    side = np.float32(image.shape[0])
    for _ in range(turns % 4):
        boxes, ignore = (
            np.stack([b[:, 1], side - b[:, 2], b[:, 3], side - b[:, 0]], axis=1)
            for b in (boxes, ignore)
        )
    return Sample(do(quarter_turned, image, turns), boxes, ignore, sample.tiny)


def rotated_side(side: int, degrees: float) -> int:
    """How large a square has to be, so that turned by an angle it covers one of this side."""
    angle = np.deg2rad(degrees)
    return int(np.ceil(side * (abs(np.cos(angle)) + abs(np.sin(angle)))))


def rotate(sample: Sample, degrees: float, side: int) -> Sample:
    """Turns a sample about its middle, against the clock, and keeps a smaller square of it.

    A face is taken for the ellipse in its box, and gets the box around that ellipse once turned: a
    box around the turned corners would be too large. An ignore box may be a whole crowd, and gets
    the box around its corners. Boxes are kept and ignored as by `crop`.

    Args:
        sample: of a side of at least `rotated_side`, with `all_boxes`: a face that an edge has cut
            is no ellipse.
        degrees: the angle.
        side: of the result.
    """
    outer = sample.image.shape[0]
    angle = np.deg2rad(degrees)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    image = do(turned, sample.image, degrees, side, side=side)

    def around(boxes: FloatArray, power: int) -> FloatArray:
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 - outer / 2  # [N, 2]
        half = (boxes[:, 2:] - boxes[:, :2]) / 2  # [N, 2]
        matrix = np.array([[cos, sin], [-sin, cos]])
        centres = centres @ matrix.T + side / 2
        half = (half**power @ abs(matrix.T) ** power) ** (1 / power)  # 2: ellipse, 1: corners
        return np.concatenate([centres - half, centres + half], axis=1).astype(np.float32)

    boxes, ignore = around(sample.boxes, 2), around(sample.ignore, 1)
    return _judged(Sample(image, boxes, ignore, sample.tiny))
