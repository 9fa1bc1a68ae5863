"""Pages of letters, in typefaces that no training has seen, and of shapes: none is a face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from s3fd.images import UInt8Array

_WORDS = """
the sale open people welcome place face office restaurant coffee peace Europe team special appear
area page paper Please free see exit water news radio cafe hotel police school theatre
"""
# Those that matplotlib brings.
_TYPEFACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic",
)  # fmt: skip
_SIZE = 640, 480
_LETTERS = 24.0, 192.0  # pixels
_LEAST_CONTRAST = 200  # over the three colours
_SHAPES = 5, 40
_ACROSS = 10.0, 240.0  # pixels


def pages(count: int, seed: int = 1) -> Iterator[UInt8Array]:
    """Signs with a few large words, and pages of many small ones, of one colour on another."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    rng = np.random.default_rng(seed)
    vocabulary = _WORDS.split()
    for _ in range(count):
        ground, ink = rng.integers(0, 256, (2, 3))
        if np.abs(ground - ink).sum() < _LEAST_CONTRAST:
            ink = 255 - ground if np.abs(255 - 2 * ground).sum() >= _LEAST_CONTRAST else 0 * ground
        size = round(np.exp(rng.uniform(*np.log(_LETTERS))))
        typeface = _TYPEFACES[rng.integers(len(_TYPEFACES))]
        font = ImageFont.truetype(str(folder / f"{typeface}.ttf"), size)
        page = Image.new("RGB", _SIZE, tuple(ground.tolist()))
        pen = ImageDraw.Draw(page)
        for top in range(10, _SIZE[1] - 10, round(1.25 * size)):
            words = " ".join(rng.choice(vocabulary, 12))
            pen.text((10, top), words, fill=tuple(ink.tolist()), font=font)
        yield np.asarray(page)


def pages_of_shapes(count: int, seed: int = 1) -> Iterator[UInt8Array]:
    """Discs, rings, boxes, frames, polygons and strokes of many colours, here and there."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        page = Image.new("RGB", _SIZE, _colour(rng))
        pen = ImageDraw.Draw(page)
        for _ in range(rng.integers(*_SHAPES)):
            _draw_shape(pen, rng)
        yield np.asarray(page)


def _draw_shape(pen: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    width = np.exp(rng.uniform(*np.log(_ACROSS)))
    height = width * np.exp(rng.uniform(-0.5, 0.5))
    x, y = rng.uniform(0, _SIZE)
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    fill = _colour(rng) if rng.random() < 0.5 else None
    outline, stroke = _colour(rng), 1 + int(rng.integers(0, 1 + width / 6))
    match int(rng.integers(4)):
        case 0:
            pen.ellipse(box, fill, outline, stroke)
        case 1:
            pen.rectangle(box, fill, outline, stroke)
        case 2:
            circle = (x, y, min(width, height) / 2)
            sides, turn = int(rng.integers(3, 9)), rng.uniform(0, 360)
            pen.regular_polygon(circle, sides, turn, fill, outline)
        case _:
            start, end = sorted(rng.uniform(0, 360, 2).tolist())
            pen.arc(box, start, end, outline, stroke)


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(rng.integers(0, 256, 3).tolist())
