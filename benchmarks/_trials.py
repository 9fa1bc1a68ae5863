"""The bundled photo, made hard in ways that are known to fail at times, and a drawing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks._photo import PHOTO
from s3fd import FaceDetector
from s3fd.data import wear
from s3fd.defaults import SCORE_THRESHOLD

_SIDE = 256
_COLUMNS = 4
_TITLE = 20
_SHOWN = 0.1
_SURE, _UNSURE = "#00b050", "#ff8c00"  # above the default threshold, and below


def trials() -> Iterator[tuple[str, Image.Image]]:
    """Names and pictures."""
    photo = Image.open(PHOTO).convert("RGB")
    yield "as it is", photo
    yield "upside down", photo.transpose(Image.Transpose.ROTATE_180)
    yield "blurred", photo.filter(ImageFilter.GaussianBlur(14))
    yield "100 pixels", photo.resize((100, 100), Image.Resampling.HAMMING)
    yield "24 pixels", photo.resize((24, 24), Image.Resampling.BOX)
    yield "dark, noisy", _dark(photo)
    yield "hidden but for an eye", _hidden(photo)
    yield "drawn", _smileys()


def _dark(photo: Image.Image) -> Image.Image:
    dark = wear.darken(np.asarray(photo), 1.0, 0.06)
    return Image.fromarray(wear.noise(dark, 6.0, np.random.default_rng(1)))


def _hidden(photo: Image.Image) -> Image.Image:
    hidden = photo.copy()
    pen = ImageDraw.Draw(hidden)
    pen.rectangle((160, 40, 222, 200), fill="#607090")
    pen.rectangle((160, 122, 290, 200), fill="#607090")
    return hidden


def _smileys() -> Image.Image:
    picture = Image.new("RGB", (512, 512), "#d0e0f0")
    pen = ImageDraw.Draw(picture)
    for x, y, r in ((150, 160, 110), (380, 140, 60), (390, 360, 90), (150, 400, 30)):
        pen.ellipse((x - r, y - r, x + r, y + r), fill="#f5d040")
        for side in (-1, 1):
            eye = x + 0.35 * side * r
            pen.ellipse((eye - r / 9, y - 0.4 * r, eye + r / 9, y - r / 9), fill="#403000")
        pen.arc((x - r / 2, y - r / 2, x + r / 2, y + 0.6 * r), 20, 160, "#403000", max(2, r // 10))
    return picture


def draw_trials(detector: FaceDetector) -> Image.Image:
    """All trials side by side, and what is found in each from a score of 0.1 on."""
    tiles = [_tile(detector, name, picture) for name, picture in trials()]
    rows = -(-len(tiles) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * (_SIDE + 4), rows * (_SIDE + _TITLE)), "white")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(tile, (column * (_SIDE + 4), row * (_SIDE + _TITLE)))
    return sheet


def _tile(detector: FaceDetector, name: str, picture: Image.Image) -> Image.Image:
    faces = detector(np.asarray(picture), score_threshold=_SHOWN)
    tile = Image.new("RGB", (_SIDE, _SIDE + _TITLE), "white")
    tile.paste(picture.resize((_SIDE, _SIDE)), (0, _TITLE))
    pen, font = ImageDraw.Draw(tile), ImageFont.load_default(12)
    pen.text((4, 3), name if len(faces) else f"{name}: nothing", fill="black", font=font)
    scale = _SIDE / picture.width
    for box, score in zip((scale * faces.boxes).tolist(), faces.scores.tolist(), strict=True):
        colour = _SURE if score >= SCORE_THRESHOLD else _UNSURE
        x1, y1, x2, y2 = box
        pen.rectangle((x1, y1 + _TITLE, x2, y2 + _TITLE), outline=colour, width=2)
        pen.text(
            (x1 + 4, y1 + _TITLE + 3),
            f"{score:.2f}",
            fill=colour,
            font=font,
            stroke_width=2,
            stroke_fill="white",
        )
    return tile
