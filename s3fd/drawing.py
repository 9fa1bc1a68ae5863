"""Boxes drawn into pictures, and cut out of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw, ImageFont

Box: TypeAlias = tuple[float, float, float, float]
"""``(x1, y1, x2, y2)`` in pixels."""

_COLOUR = (57, 255, 20)


def draw_boxes(picture: Image.Image, boxes: Sequence[Box], labels: Sequence[str]) -> None:
    """Draws boxes with labels into a picture, the first one on top.

    Lines and labels grow with the picture. A line takes an eighth of its box's shorter side at
    most, and one pixel at least; a label is left out where it would be larger than the box.
    """
    draw = ImageDraw.Draw(picture)
    longest = max(picture.size)
    line = max(1, round(longest / 400))
    font = ImageFont.load_default(size=max(10, round(longest / 60)))
    for box, label in reversed(list(zip(boxes, labels, strict=True))):
        left, top, right, bottom = outline = _outline(box, picture.size)
        thin = max(1, min(right - left, bottom - top) // 8)
        draw.rectangle(outline, outline=_COLOUR, width=min(line, thin))
        _draw_label(draw, box, label, font, line)


def cut_boxes(
    picture: Image.Image, boxes: Iterable[Box], margin: float, *, square: bool
) -> list[Image.Image]:
    """Cuts boxes out of a picture; see `s3fd.Detections.crops`."""
    cut = _cut_square if square else _cut
    return [cut(picture, box, margin) for box in boxes]


def _cut(picture: Image.Image, box: Box, margin: float) -> Image.Image:
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    left, right = _pixels(x1 - dx, x2 + dx, picture.width)
    top, bottom = _pixels(y1 - dy, y2 + dy, picture.height)
    return picture.crop((left, top, right, bottom))


def _cut_square(picture: Image.Image, box: Box, margin: float) -> Image.Image:
    x1, y1, x2, y2 = box
    side = max(1, math.ceil((1 + 2 * margin) * max(x2 - x1, y2 - y1)))
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    return picture.crop((left, top, left + side, top + side))  # black outside the picture


def _pixels(low: float, high: float, length: int) -> tuple[int, int]:
    """First pixel, and the one after the last, of a stretch; at least one pixel of the image."""
    first = min(max(math.floor(low), 0), length - 1)
    return first, min(max(math.ceil(high), first + 1), length)


def _outline(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The first and last pixels of a box, as PIL's rectangles want them."""
    left, right = _pixels(box[0], box[2], size[0])
    top, bottom = _pixels(box[1], box[3], size[1])
    return left, top, right - 1, bottom - 1


def _draw_label(
    draw: ImageDraw.ImageDraw,
    box: Box,
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    line: int,
) -> None:
    """Writes `text` above the box, or into it where there is no room above."""
    _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right + 2 * line, bottom + 2 * line
    if width > 1.5 * (box[2] - box[0]):
        return
    x, y = box[0], box[1] - height if box[1] >= height else box[1]
    draw.rectangle((x, y, x + width, y + height), fill=_COLOUR)
    draw.text((x + line, y + line), text, fill="black", font=font)
