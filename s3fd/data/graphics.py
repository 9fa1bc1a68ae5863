"""What people print and paint: letters, rings, frames, and no face.

Photos teach little of it: to a network that has seen nothing else the e of a sign is a face.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from s3fd.data.augmentation import Sample
from s3fd.data.plans import pixels_of

_SHARE_OF_LETTERS = 0.6
# Of the letters: a page as printers set it, crisp, upright and full. The others are signs.
_PAGES = 0.5
_LETTERS = "eeeeaaaaooossccgdbpqtnmurilhfkvwxyzjEAOSCGDBPQRTNMUILHFKVWXYZJ0235689714?!&@%.,:-+=*#"
# Each about as often as in a hundred letters of English.
_PROSE = (
    "eeeeeeeeeeeettttttttaaaaaaaaoooooooiiiiiiinnnnnnnsssssshhhhhhrrrrrrddddllllcccuuummm"
    "wwffggyyppbbvk.,"
)
_SPACES_OF_PROSE = 0.17
_CAPITALS = 0.15  # of the lines
_SMALLEST_LETTERS = 8.0
_LARGEST_LETTERS = 0.6  # of the side of a picture
_MOST_SHAPES = 60
_SMALLEST_SHAPE = 4.0
_LARGEST_SHAPE = 0.25  # half of it, of the side of a picture
# Shapes are drawn so many times larger, and shrunk: Pillow draws edges of whole pixels.
_FINER = 2
_BILINEAR = Image.Resampling.BILINEAR
_FONT_FILES = (".otf", ".ttc", ".ttf")


@lru_cache(maxsize=8)
def typefaces(fonts: tuple[Path, ...]) -> tuple[Path, ...]:
    """The files of typefaces that are meant, those of a folder in the order of their paths.

    Args:
        fonts: files of TrueType or OpenType, and folders that hold some, at whatever depth; what
            shows Latin letters all alike in a folder, as if it had none, is left out.

    Raises:
        FileNotFoundError: one of them does not exist.
        ValueError: a file is no such typeface, or a folder holds none.
    """
    found: list[Path] = []
    for path in fonts:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _FONT_FILES)
            theirs = [file for file in files if _has_letters(file)]
        elif path.exists():
            theirs = [path] if _has_letters(path) else []
        else:
            raise FileNotFoundError(f"fonts: there is no file or folder {path}")
        if not theirs:
            raise ValueError(
                f"fonts: expected typefaces with Latin letters, {', '.join(_FONT_FILES)}, "
                f"in {path}, got none"
            )
        found += theirs
    return tuple(found)


def with_graphics(
    ground: Sample, rng: np.random.Generator, typefaces: Sequence[Path] = ()
) -> Sample:
    """Letters, or shapes, on a ground. Its boxes stay: only grounds without faces are for this.

    Args:
        ground: what they are drawn on.
        rng: what draws.
        typefaces: files of those that letters may have; by default Pillow's own, which is one.
    """
    image = Image.fromarray(pixels_of(ground.image))
    if rng.random() < _SHARE_OF_LETTERS:
        image = _letters(image, rng, typefaces)
    else:
        image = _shapes(image, rng)
    return replace(ground, image=np.asarray(image))


@dataclass(frozen=True)
class _Setting:
    """How letters are set: at first as a typeface has them, and as a page is full of them.

    Attributes:
        size: of the letters, in pixels.
        top: where the first line begins.
        apart: from a line to the next.
        lines: how many.
        width: 1 as they are, less for narrow ones.
        slant: how far they lean.
        bold: how much their strokes grow at each side.
    """

    size: float
    top: float
    apart: float
    lines: int
    width: float = 1.0
    slant: float = 0.0
    bold: int = 0


def _page(side: int, rng: np.random.Generator) -> _Setting:
    size = _size(side, rng)
    apart = size * rng.uniform(1.1, 1.5)
    top = rng.uniform(-size / 2, size / 2)
    return _Setting(size, top, apart, lines=math.ceil((side - top) / apart))


def _sign(side: int, rng: np.random.Generator) -> _Setting:
    """A few lines, perhaps, whose typeface becomes another by its weight, width and slant."""
    size = _size(side, rng)
    width, slant = math.exp(rng.uniform(-0.5, 0.4)), rng.uniform(-0.3, 0.3)
    bold = int(rng.integers(0, 1 + math.ceil(size / 12)))
    apart = size * rng.uniform(1.0, 2.0)
    lines = int(rng.integers(1, 2 + int(side / apart)))
    top = rng.uniform(-size / 2, max(0.0, side - lines * apart))
    return _Setting(size, top, apart, lines, width, slant, bold)


def _size(side: int, rng: np.random.Generator) -> float:
    return _between(_SMALLEST_LETTERS, _LARGEST_LETTERS * side, rng)


def _letters(
    image: Image.Image, rng: np.random.Generator, typefaces: Sequence[Path] = ()
) -> Image.Image:
    """A page, or a sign: lines of one typeface that go over the edges."""
    side = image.width
    of_page = rng.random() < _PAGES
    setting = (_page if of_page else _sign)(side, rng)
    words = _prose if of_page else _words
    # The letters lie on a sheet of their own, for all of the picture once it has been distorted.
    sheet = Image.new("L", (math.ceil(side / setting.width), side))
    pen = ImageDraw.Draw(sheet)
    typeface = typefaces[int(rng.random() * len(typefaces))] if typefaces else None
    font = _font(round(setting.size), typeface)
    for line in range(setting.lines):
        text = words(math.ceil(3 * sheet.width / setting.size), rng)
        place = rng.uniform(-setting.size, setting.size), setting.top + line * setting.apart
        pen.text(place, text, fill=255, font=font, stroke_width=setting.bold)
    lean = setting.slant
    inverse = (1 / setting.width, lean, -lean * side / 2 / setting.width, 0, 1, 0)
    shares = sheet.transform(image.size, Image.Transform.AFFINE, inverse, _BILINEAR)
    image = image.copy()
    image.paste(_colour(rng), mask=shares)
    return image


def _prose(length: int, rng: np.random.Generator) -> str:
    text = _spaced(_PROSE, length, _SPACES_OF_PROSE, rng)
    return text.upper() if rng.random() < _CAPITALS else text


def _words(length: int, rng: np.random.Generator) -> str:
    return _spaced(_LETTERS, length, rng.uniform(0, 0.3), rng)


def _spaced(alphabet: str, length: int, spaces: float, rng: np.random.Generator) -> str:
    letters = rng.choice(list(alphabet), length)
    letters[rng.random(len(letters)) < spaces] = " "
    return "".join(letters)


def _shapes(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Discs, rings, ellipses, boxes, frames, triangles and lines, of one kind or of all."""
    fine = image.resize((image.width * _FINER, image.height * _FINER), _BILINEAR)
    pen = ImageDraw.Draw(fine)
    kinds: list[Callable[..., object]] = [pen.ellipse, pen.rectangle, _triangle(pen), pen.line]
    if rng.random() < 0.5:
        kinds = [kinds[int(rng.integers(len(kinds)))]]
    for _ in range(int(rng.integers(1, _MOST_SHAPES + 1))):
        x, y = rng.uniform(0, fine.width, 2)
        across = _between(_SMALLEST_SHAPE, _LARGEST_SHAPE * fine.width, rng)
        down = across * math.exp(rng.uniform(-0.4, 0.6))
        box = (x - across, y - down, x + across, y + down)
        thick = int(rng.integers(1, 2 + int(across / 2)))
        draw = kinds[int(rng.integers(len(kinds)))]
        options: dict[str, Any] = {"fill": _colour(rng), "width": thick}
        if draw != pen.line and rng.random() < 0.7:
            options = {"outline": options["fill"], "width": thick}
            if rng.random() < 0.3:
                options["fill"] = _colour(rng)
        draw(box, **options)
    return fine.resize(image.size, Image.Resampling.BOX)


def _triangle(pen: ImageDraw.ImageDraw) -> Callable[..., None]:
    def draw(box: tuple[float, float, float, float], **options: Any) -> None:
        x1, y1, x2, y2 = box
        pen.polygon([(x1, y2), ((x1 + x2) / 2, y1), (x2, y2)], **options)

    return draw


def _between(low: float, high: float, rng: np.random.Generator) -> float:
    """Evenly on a logarithmic scale; `low` where `high` is less, on a small picture."""
    return math.exp(rng.uniform(math.log(low), math.log(max(low, high))))


def _colour(rng: np.random.Generator) -> tuple[int, ...]:
    """Black and white are more frequent than the others."""
    if rng.random() < 0.4:
        return (int(rng.choice([0, 255])),) * 3
    return tuple(int(level) for level in rng.integers(0, 256, 3))


@lru_cache(maxsize=256)
def _font(size: int, typeface: Path | None = None) -> Any:
    return _opened(typeface, size) if typeface else ImageFont.load_default(size)


def _opened(file: Path, size: int) -> ImageFont.FreeTypeFont:
    """Of this file: `ImageFont.truetype` would take another one of its name, if this is broken."""
    return ImageFont.FreeTypeFont(file, size)


def _has_letters(file: Path) -> bool:
    """Whether it is a typeface, and shows different letters differently."""
    try:
        font = _opened(file, 32)
        shown = {bytes(font.getmask(letter)) for letter in "aegOR"}
    except OSError:
        return False
    return len(shown) == 5
