"""The lines of YOLO's texts: boxes, boxes with key points behind them, or polygons.

``class x y width height`` by the size of the photo, ``class x y width height px py …`` with two or
three numbers for each key point, or ``class x1 y1 x2 y2 x3 y3 …``: a line does not say which. A
third number tells, which is 0, 1 or 2; so do other lines, since all key points of a set are the
same number, and settings with ``kpt_shape``. What stays doubtful counts as a polygon, with a
warning.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from s3fd.data.formats.form import is_file
from s3fd.data.formats.text import numbered_lines, numbers
from s3fd.messages import shortened

OUTSIDE = 2.0
"""A box may reach out of its photo, but not so far."""
_VISIBILITIES = {0.0, 1.0, 2.0}  # of key points: not labelled, hidden, seen
_SLACK = 0.005  # of the photo: numbers are rounded
_MANY = 10  # lines, or key points, that are not all alike by chance
_LONG = 13  # numbers, of which few polygons have exactly as many as others: six points


class Line(NamedTuple):
    """A line of labels, as it is read alone.

    Attributes:
        number: of its class.
        length: how many numbers it has.
        corners: ``x1 y1 x2 y2`` by the size of the photo: of a box, or around a polygon.
        is_polygon: whether it was read as one.
        box: of a polygon that may be a box with key points instead: that box.
        holds: whether a polygon begins with a box in the photo that holds all that follows.
    """

    number: int
    length: int
    corners: list[float]
    is_polygon: bool = False
    box: list[float] | None = None
    holds: bool = False


def read_lines(file: Path, *, has_key_points: bool) -> list[Line]:
    """The labels of a photo, in its text, which may be missing.

    Args:
        file: the text.
        has_key_points: whether key points follow all boxes.

    Raises:
        ValueError: a line is malformed; the message names it.
    """
    if not is_file(file):
        return []
    found = []
    for number, text in numbered_lines(file):
        values = numbers(text)
        is_row = len(values) >= 5 and np.isfinite(values).all()
        if not is_row or values[0] != int(values[0]) or values[0] < 0:
            raise ValueError(
                f"{file}:{number}: expected class x y width height, got {shortened(text)}"
            )
        try:
            found.append(_line(int(values[0]), values[1:], has_key_points))
        except ValueError as error:
            raise ValueError(f"{file}:{number}: {error}, got {shortened(text)}") from None
    return found


def _line(number: int, values: list[float], has_key_points: bool) -> Line:
    """What the numbers behind a class are.

    Raises:
        ValueError: they are nothing; the message says what was expected.
    """
    length, more = 1 + len(values), values[4:]
    if has_key_points or len(more) < 2:
        return Line(number, length, _box(values))
    say_if_seen = len(more) % 3 == 0 and _VISIBILITIES.issuperset(more[2::3])
    box = _box(values) if say_if_seen else None
    try:
        around = _around(values)
    except ValueError:
        if box is None:
            raise
        return Line(number, length, box)
    each = 3 if say_if_seen else 2
    holds = _holds(values, zip(more[::each], more[1::each], strict=False))
    return Line(number, length, around, True, box, holds)


def _box(values: Sequence[float]) -> list[float]:
    x, y, width, height = values[:4]
    _check_inside(values[:4])
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def _around(values: Sequence[float]) -> list[float]:
    """The box around a polygon."""
    _check_inside(values)
    points = list(zip(values[::2], values[1::2], strict=False))
    if len(values) % 2 or (-1, -1) in points:
        raise ValueError(
            "expected class x y width height, or the points x y of a polygon (where key points "
            "follow, data.yaml has to say so: kpt_shape: [5, 2] for five)"
        )
    return [*map(min, zip(*points, strict=True)), *map(max, zip(*points, strict=True))]


def _check_inside(values: Sequence[float]) -> None:
    if max(map(abs, values)) > OUTSIDE:
        raise ValueError(
            "expected x y width height by the size of the photo, 0 to 1 (divide pixels by its "
            "width and height, and per cent by 100)"
        )


def _holds(box: Sequence[float], points: Iterable[tuple[float, float]]) -> bool:
    """Whether a box ``x y width height`` in the photo holds all points that are labelled."""
    labelled = [point for point in points if point not in ((0, 0), (-1, -1))]
    for axis in (0, 1):
        size = box[2 + axis]
        low, high = box[axis] - size / 2 - _SLACK, box[axis] + size / 2 + _SLACK
        if size <= 0 or low < -2 * _SLACK or high > 1 + 2 * _SLACK:
            return False
        if not all(low <= point[axis] <= high for point in labelled):
            return False
    return True


def have_key_points(lines: Sequence[Line], settings: Path) -> bool:
    """Whether the lines of a set that may be either are boxes with key points.

    Points of polygons may lie on the edges of the photo, at 0 and 1, where those of key points say
    whether they are seen. A few such lines have to begin with a box that holds the others.

    Args:
        lines: all.
        settings: for messages.

    Warns:
        UserWarning: they are read as polygons, but at least two things speak against that: all are
            as long as each other, and long; or there are many; each begins with a box that holds
            the rest; or each may say of its points whether they are seen.
    """
    longer = [line for line in lines if line.length > 6]  # than a box, or one with a score
    polygons = [line for line in longer if line.is_polygon]
    length = longer[0].length if longer else 0
    if not polygons or any(line.length != length for line in longer):
        return False
    say_if_seen = all(line.box is not None for line in polygons)
    hold = all(line.holds for line in polygons)
    points = (length - 5) // (3 if say_if_seen else 2)
    if say_if_seen and (hold or len(polygons) * points >= _MANY):
        return True
    if sum((length >= _LONG, len(polygons) >= _MANY, hold, say_if_seen)) >= 2:
        warnings.warn(
            f"{settings}: all labels that are longer than a box have {length} numbers, and were "
            f"read as polygons of {length // 2} points; if they are boxes with key points, write "
            f"kpt_shape: [{points}, {3 if say_if_seen else 2}] into data.yaml",
            stacklevel=2,
        )
    return False
