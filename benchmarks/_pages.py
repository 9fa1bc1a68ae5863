"""Pages of letters, in typefaces that no training has seen: nothing in them is a face."""

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
