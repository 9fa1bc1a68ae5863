"""What the fields of a dataclass of settings may hold: declared in their annotations, once."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from s3fd.messages import shown


@dataclass(frozen=True)
class Range:
    """The numbers that a field may hold: ``Annotated[int, Range(1)]``.

    Attributes:
        low: the least of them.
        high: the largest.
        above_low: `low` itself is left out.
        below_high: `high` itself is left out.

    Example:
        >>> Range(1).around("steps"), Range(0, 1, below_high=True).around("share")
        ('steps >= 1', '0 <= share < 1')
        >>> 1.0 in Range(0, 1, below_high=True)
        False
    """

    low: float
    high: float = math.inf
    above_low: bool = False
    below_high: bool = False

    def __contains__(self, value: float) -> bool:
        high_enough = value > self.low if self.above_low else value >= self.low
        low_enough = value < self.high if self.below_high else value <= self.high
        return high_enough and low_enough

    def around(self, name: str) -> str:
        """The range as an inequality about a name."""
        if self.high == math.inf:
            return f"{name} {'>' if self.above_low else '>='} {self.low:g}"
        low, high = "<" if self.above_low else "<=", "<" if self.below_high else "<="
        return f"{self.low:g} {low} {name} {high} {self.high:g}"


def split_hint(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type in an annotation, without None, and what else is said of it."""
    extras: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        extras = tuple(more)
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        inner, more_extras = split_hint(kinds[0])
        return inner, (*extras, *more_extras)
    return hint, extras


def check_settings(settings: Any) -> None:
    """Checks every field of a dataclass against its annotation: choices, and ranges of numbers.

    Raises:
        ValueError: a field holds something else; the message names it, what was expected, and what
            came.
    """
    hints = get_type_hints(type(settings), include_extras=True)
    for field in fields(settings):
        value, hint = getattr(settings, field.name), hints[field.name]
        if value is None and type(None) in get_args(hint):
            continue
        kind, extras = split_hint(hint)
        if get_origin(kind) is Literal:
            check_choice(field.name, value, get_args(kind))
        for extra in extras:
            if isinstance(extra, Range):
                _check_number(field.name, value, Integral if kind is int else Real, extra)


def _check_number(name: str, value: Any, kind: type, within: Range) -> None:
    is_of_kind = isinstance(value, kind) and not isinstance(value, bool)
    if not is_of_kind or value not in within:
        whole = "" if is_of_kind or kind is Real else "a whole number, "
        raise ValueError(f"{name}: expected {whole}{within.around(name)}, got {shown(value)}")


def check_choice(name: str, value: object, choices: Sequence[str], why: str = "") -> None:
    """Refuses what is none of a few words; `why` tells, where need be, why it is these alone.

    Example:
        >>> check_choice("crop", "face", ("photo", "face"))
    """
    if not isinstance(value, str) or value not in choices:
        *others, last = map(repr, choices)
        words = " or ".join(filter(None, (", ".join(others), last)))
        raise ValueError(f"{name}: expected {words}{why and f', {why}'}, got {shown(value)}")


def check_box_margins(margins: Sequence[float]) -> None:
    """Refuses what are no margins of the sides, the top and the bottom.

    Raises:
        ValueError: as described.
    """
    if len(margins) != 3 or not all(0 <= margin <= 1 for margin in margins):
        raise ValueError(
            "box_margins: expected those of the sides, the top and the bottom, 0 to 1, got "
            f"{tuple(margins)}"
        )
