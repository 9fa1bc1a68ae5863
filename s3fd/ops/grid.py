"""The pure description of an anchor grid: it calls no operator, and needs no compiled library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from numbers import Real
from typing import Any, TypeAlias, TypeVar

from s3fd.ops._checks import check_integer, check_number, check_size, describe

Shape: TypeAlias = tuple[float, float]
"""Width and height of an anchor, in pixels."""

Level: TypeAlias = float | tuple[float | Shape, ...]
"""The anchors of a level's cells: the side of one square, or several sides and shapes."""

_Described: TypeAlias = tuple[list[float], list[float], list[int], float]

_Grid = TypeVar("_Grid", bound="GridDescription")


@dataclass(frozen=True)
class GridDescription:
    """Where the anchors of a detector are: what :class:`s3fd.ops.AnchorGrid` is told.

    The twins take it as it is, without the compiled library that ``AnchorGrid`` needs.
    """

    strides: tuple[int, ...]
    sizes: tuple[Level, ...]
    offset: float = 0.5
    shapes: tuple[tuple[Shape, ...], ...] = field(init=False, repr=False, compare=False)
    """Of each level, ``(width, height)`` of the anchors of a cell, in pixels."""
    _described: _Described = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        strides = _sequence("strides", self.strides)
        for index, stride in enumerate(strides):
            check_integer(f"strides[{index}]", stride, minimum=1)
        sizes = _sequence("sizes", self.sizes)
        if len(sizes) != len(strides) or not strides:
            raise ValueError(
                "strides, sizes: expected one of each for every level, and at least one level, "
                f"got {len(strides)} strides and {len(sizes)} sizes"
            )
        check_number("offset", self.offset)
        if not math.isfinite(self.offset):
            raise ValueError(f"offset: expected a finite number, got {self.offset}")
        object.__setattr__(self, "strides", tuple(map(int, strides)))
        object.__setattr__(self, "sizes", tuple(map(_frozen, sizes)))
        object.__setattr__(self, "offset", float(self.offset))
        shapes = tuple(
            _level_shapes(f"sizes[{index}]", level) for index, level in enumerate(self.sizes)
        )
        object.__setattr__(self, "shapes", shapes)
        described = (
            [float(stride) for stride in self.strides],
            [length for level in shapes for shape in level for length in shape],
            list(self.num_shapes),
            self.offset,
        )
        object.__setattr__(self, "_described", described)

    @classmethod
    def s3fd(cls: type[_Grid]) -> _Grid:
        """The paper's grid: six levels, strides 4 to 128, one square of four strides a cell."""
        strides = (4, 8, 16, 32, 64, 128)
        return cls(strides=strides, sizes=tuple(4 * stride for stride in strides))

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.strides)

    @property
    def num_shapes(self) -> tuple[int, ...]:
        """Of each level, the number of anchors of a cell."""
        return tuple(map(len, self.shapes))

    def feature_sizes(self, image_size: tuple[int, int]) -> list[tuple[int, int]]:
        """Sizes of the feature maps of an image, as a network has them that rounds up.

        Args:
            image_size: height and width in pixels; multiples of 32, as a rule: on other sizes a
                network rounds its pools in its own way, so pass the sizes of its maps instead.

        Returns:
            ``(rows, columns)`` of each level, ``ceil(size / stride)``. An image without pixels has
            maps without cells.

        Raises:
            TypeError, ValueError: ``image_size`` is not two integers >= 0.

        Example:
            >>> GridDescription.s3fd().feature_sizes((640, 320))[:2]
            [(160, 80), (80, 40)]
        """
        height, width = check_size("image_size", image_size)
        return [(-(-height // stride), -(-width // stride)) for stride in self.strides]

    def operator_arguments(
        self, feature_sizes: Sequence[tuple[int, int]]
    ) -> tuple[list[int], list[float], list[float], list[int], float]:
        """How a grid is passed to an operator, after a check of ``feature_sizes``.

        Returns:
            rows and columns of the levels in turn, strides, widths and heights of all shapes in
            turn, number of shapes of each level, offset.
        """
        levels = _sequence("feature_sizes", feature_sizes)
        if len(levels) != self.num_levels:
            raise ValueError(
                f"feature_sizes: expected (rows, columns) of {self.num_levels} levels, "
                f"got {len(levels)}"
            )
        sizes = [
            check_size(f"feature_sizes[{index}]", level, "(rows, columns)")
            for index, level in enumerate(levels)
        ]
        return [length for size in sizes for length in size], *self._described


def grid_of_arguments(
    strides: list[float], shapes: list[float], num_shapes: list[int], offset: float
) -> GridDescription:
    """The grid that was passed to an operator with `GridDescription.operator_arguments`."""
    pairs = zip(shapes[::2], shapes[1::2], strict=True)
    return GridDescription(
        strides=tuple(int(stride) for stride in strides),
        sizes=tuple(tuple(islice(pairs, count)) for count in num_shapes),
        offset=offset,
    )


def _sequence(name: str, value: object) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: expected a sequence with an entry a level, got {describe(value)}")
    return value


def _frozen(level: object) -> object:
    """``level`` with tuples in place of its sequences, so that a grid can be hashed."""
    if isinstance(level, Sequence) and not isinstance(level, str):
        return tuple(map(_frozen, level))
    return level


def _level_shapes(name: str, level: object) -> tuple[Shape, ...]:
    entries = level if isinstance(level, tuple) else (level,)
    if not entries:
        raise ValueError(f"{name}: expected at least one shape, got {level!r}")
    return tuple(_shape(name, entry) for entry in entries)


def _shape(name: str, entry: object) -> Shape:
    lengths = entry if isinstance(entry, tuple) else (entry, entry)
    expected = f"{name}: expected a number, or a sequence of numbers and (width, height) pairs"
    if len(lengths) != 2:
        raise ValueError(f"{expected}, got {entry!r}")
    if not all(isinstance(length, Real) and not isinstance(length, bool) for length in lengths):
        raise TypeError(f"{expected}, got {describe(entry)}")
    if not all(0 < length < math.inf for length in lengths):
        raise ValueError(f"{expected}, all positive and finite, got {entry!r}")
    return float(lengths[0]), float(lengths[1])
