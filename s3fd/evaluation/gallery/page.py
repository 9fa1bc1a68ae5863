"""The page of a gallery: cards with pictures, in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from PIL import Image

from s3fd.images import ImageError, open_rgb

_SIDE = 360
"""Pixels of a picture's side at most: it is shown smaller, sharp also on dense screens."""

_AROUND = 2.4
"""Side of a picture, in longest sides of the box it is about."""

_LEAST = 48.0
"""Side of a picture in pixels of the photo at least."""

_LEGEND = {
    "missed": "missed face",
    "face": "other face",
    "false": "false positive",
    "detection": "other detection",
    "ignored": "ignored",
}

Corners = tuple[float, ...]
"""``(x1, y1, x2, y2)``."""


@dataclass(frozen=True)
class Box:
    """A box that is drawn.

    Attributes:
        corners: in pixels of the photo.
        style: the classes that `page.css` knows.
        label: written beside it.
    """

    corners: Corners
    style: str
    label: str = ""


@dataclass(frozen=True)
class Card:
    """One picture with its text.

    Attributes:
        path: the photo.
        name: what it is called.
        reason: a key of the section's reasons.
        text: a headline, and more.
        box: what the card is about.
        others: the other boxes of the photo.
    """

    path: Path
    name: str
    reason: str
    text: Sequence[str]
    box: Box
    others: Sequence[Box]


@dataclass(frozen=True)
class Section:
    """Cards of one kind.

    Attributes:
        key: its name in the page's style.
        title, note: the heading.
        reasons: for each key, what it says; each can be hidden.
        cards: in their order.
    """

    key: str
    title: str
    note: str
    reasons: Mapping[str, str]
    cards: Sequence[Card]


def render_page(
    title: str, summary: Mapping[str, str], sections: Sequence[Section]
) -> Iterator[str]:
    """The parts of the page, one after the other.

    A photo that can't be read leaves the boxes of its card on plain ground, and says so.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    hidden = "".join(
        f"body:has(#{s.key}-{reason}:not(:checked)) .{s.key}-{reason}{{display:none}}\n"
        for s in sections
        for reason in s.reasons
    )
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}{hidden}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<dl>"
    )
    for name, value in summary.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
    legend = "".join(f'<span><i class="{key}"></i>{name}</span>' for key, name in _LEGEND.items())
    yield (
        f'</dl>\n<div class="bar">{legend}'
        '<label><input type="checkbox" id="boxes" checked> draw boxes '
        "(the pointer on a picture hides them)</label></div>\n"
    )
    photos = _Photos()
    for section in sections:
        yield from _render_section(section, photos)
    yield "</body>\n</html>\n"


def _render_section(section: Section, photos: _Photos) -> Iterator[str]:
    yield f"<h2>{escape(section.title)} <small>{escape(section.note)}</small></h2>\n"
    yield '<div class="bar">'
    for reason, text in section.reasons.items():
        count = sum(card.reason == reason for card in section.cards)
        if count:
            box = f'<input type="checkbox" id="{section.key}-{reason}" checked>'
            yield f"<label>{box} {escape(text)} ({count})</label>"
    yield '</div>\n<div class="grid">\n'
    for card in section.cards:
        yield _render_card(card, f"{section.key}-{card.reason}", photos)
    yield "</div>\n"


def _render_card(card: Card, style: str, photos: _Photos) -> str:
    picture = photos.open(card.path)
    size = (math.inf, math.inf) if isinstance(picture, str) else picture.size
    left, top, side_x, side_y = _window(card.box.corners, size)
    text = list(card.text)
    drawn = ""
    if isinstance(picture, str):
        text.append(picture)
    else:
        data = _jpeg(picture, (left, top, left + side_x, top + side_y))
        drawn = (
            f'<image x="{left}" y="{top}" width="{side_x}" height="{side_y}" '
            f'href="data:image/jpeg;base64,{data}"/>'
        )
    window = (left, top, left + side_x, top + side_y)
    scale = max(side_x, side_y) / 190  # photo pixels in a pixel of the page, about
    for box in (*card.others, card.box):
        if _meet(box.corners, window) and (box is card.box or box.corners != card.box.corners):
            drawn += _render_box(box, window, scale)
    corners = " ".join(f"{x:.1f}" for x in card.box.corners)
    headline, *rest = text
    return (
        f'<figure class="{style}" title="{escape(card.name)}: {corners}">'
        f'<svg viewBox="{left} {top} {side_x} {side_y}" preserveAspectRatio="xMidYMid meet">'
        f"{drawn}</svg><figcaption><b>{escape(headline)}</b> {escape(' · '.join(rest))}"
        f"<span>{escape(card.name)}</span></figcaption></figure>\n"
    )


def _render_box(box: Box, window: Corners, scale: float) -> str:
    x1, y1, x2, y2 = box.corners
    rect = (
        f'<rect class="mark {box.style}" x="{x1:.2f}" y="{y1:.2f}" '
        f'width="{max(x2 - x1, 0):.2f}" height="{max(y2 - y1, 0):.2f}"/>'
    )
    if not box.label:
        return rect
    # Labels keep their size on the page, and stay in the picture.
    x, y = max(x1, window[0]), max(y1 - 3 * scale, window[1] + 12 * scale)
    return (
        f'{rect}<text class="mark {box.style}" '
        f'transform="translate({x:.2f} {y:.2f}) scale({scale:.4f})">{escape(box.label)}</text>'
    )


class _Photos:
    """Opens photos, and keeps the last one, since mistakes come in groups."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._picture: Image.Image | str = ""

    def open(self, path: Path) -> Image.Image | str:
        """The photo, or why there is none."""
        if path != self._path:
            self._path = path
            try:
                self._picture = open_rgb(path)
            except FileNotFoundError:
                self._picture = "the photo is not there"
            except ImageError:
                self._picture = "the photo can't be read"
        return self._picture


def _window(corners: Corners, size: tuple[float, float]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the part of a photo that shows a box and what is around it."""
    x1, y1, x2, y2 = corners
    side = max(_AROUND * max(x2 - x1, y2 - y1), _LEAST)
    starts, sides = [], []
    for low, high, length in ((x1, x2, size[0]), (y1, y2, size[1])):
        taken = min(side, length)
        start = (low + high - taken) / 2
        if length < math.inf:
            start = min(max(start, 0), length - taken)
        starts.append(math.floor(start))
        sides.append(max(1, math.ceil(taken)))
    return starts[0], starts[1], sides[0], sides[1]


def _meet(corners: Corners, window: Corners) -> bool:
    x1, y1, x2, y2 = corners
    return x1 < window[2] and x2 > window[0] and y1 < window[3] and y2 > window[1]


def _jpeg(picture: Image.Image, window: tuple[int, int, int, int]) -> str:
    cut = picture.crop(window)
    cut.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
