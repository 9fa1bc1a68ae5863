"""The pure description of an anchor grid: it calls no operator, and needs no compiled library."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, TypeAlias, TypeVar

from s3fd.ops._checks import check_integer, check_number, check_size, describe, is_positive

Shape: TypeAlias = tuple[float, float]
"""Width and height of an anchor, in pixels."""

Level: TypeAlias = float | tuple[float | Shape, ...]
"""The anchors of a level's cells: the side of one square, or several sides and shapes."""

Stride: TypeAlias = int | tuple[int, int]
"""Pixels of the image per cell: of both axes, or along x and along y."""

_Grid = TypeVar("_Grid", bound="GridDescription")


@dataclass(frozen=True)
class GridDescription:
    """Where the anchors of a detector are: what :class:`s3fd.ops.AnchorGrid` is told.

    The twins take it as it is, without the compiled library that ``AnchorGrid`` needs.
    """

    strides: tuple[Stride, ...]
    sizes: tuple[Level, ...]
    offset: float = 0.5
    backgrounds: int | tuple[int, ...] = 1
    shapes: tuple[tuple[Shape, ...], ...] = field(init=False, repr=False, compare=False)
    """Of each level, ``(width, height)`` of the anchors of a cell, in pixels."""
    num_backgrounds: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Of each level, the number of background logits of an anchor."""
    axis_strides: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)
    """Of each level, pixels of the image per cell, along x and along y."""
    packed: list[float] = field(init=False, repr=False, compare=False)
    """The whole grid as one list of numbers, which is how an operator takes it."""

    def __post_init__(self) -> None:
        strides, sizes = _sequence("strides", self.strides), _sequence("sizes", self.sizes)
        if len(sizes) != len(strides) or not strides:
            raise ValueError(
                "strides, sizes: expected one of each for every level, and at least one level, "
                f"got {len(strides)} strides and {len(sizes)} sizes"
            )
        check_number("offset", self.offset)
        if not math.isfinite(self.offset):
            raise ValueError(f"offset: expected a finite number, got {self.offset}")
        axis_strides = tuple(
            _axis_strides(f"strides[{index}]", stride) for index, stride in enumerate(strides)
        )
        sizes = tuple(map(_frozen, sizes))
        derived: dict[str, object] = {
            "strides": tuple(x if x == y else (x, y) for x, y in axis_strides),
            "sizes": sizes,
            "offset": float(self.offset),
            "backgrounds": _backgrounds(self.backgrounds, len(strides)),
            "shapes": tuple(
                _level_shapes(f"sizes[{index}]", level) for index, level in enumerate(sizes)
            ),
            "num_backgrounds": _backgrounds(self.backgrounds, len(strides)),
            "axis_strides": axis_strides,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "packed", _pack(self))

    @classmethod
    def s3fd(cls: type[_Grid], backgrounds: int = 3) -> _Grid:
        """The paper's grid: six levels, strides 4 to 128, one square of four strides a cell.

        Args:
            backgrounds: background logits of the finest level (section 3.3); the others have one.
        """
        strides = (4, 8, 16, 32, 64, 128)
        sizes = tuple(4 * stride for stride in strides)
        return cls(strides, sizes, backgrounds=(backgrounds, 1, 1, 1, 1, 1))

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
        return [(-(-height // y), -(-width // x)) for x, y in self.axis_strides]

    def operator_arguments(
        self, feature_sizes: Sequence[tuple[int, int]]
    ) -> tuple[list[int], list[float]]:
        """How a grid is passed to an operator, after a check of ``feature_sizes``.

        Returns:
            rows and columns of the levels in turn, and the packed grid.
        """
        lengths = _plain_lengths(feature_sizes)
        if lengths is not None and len(lengths) == 2 * self.num_levels:
            return lengths, self.packed
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
        return [length for size in sizes for length in size], self.packed

    def num_anchors(self, feature_sizes: Sequence[int]) -> int:
        """The anchors of maps whose rows and columns come in turn, as an operator gets them."""
        rows, columns = feature_sizes[::2], feature_sizes[1::2]
        return sum(map(math.prod, zip(rows, columns, self.num_shapes, strict=True)))


def _pack(grid: GridDescription) -> list[float]:
    """One list of numbers, which csrc/shared/anchor_levels.h reads in this order.

    The offset; then of each level its strides along x and y, its number of backgrounds, its number
    of shapes, and the width and height of each of these.
    """
    packed = [grid.offset]
    for strides, backgrounds, shapes in zip(
        grid.axis_strides, grid.num_backgrounds, grid.shapes, strict=True
    ):
        packed += [*map(float, strides), float(backgrounds), float(len(shapes))]
        packed += [length for shape in shapes for length in shape]
    return packed


def unpack_grid(packed: Sequence[float]) -> GridDescription:
    """The grid whose :attr:`GridDescription.packed` an operator was given."""
    offset, *numbers = packed
    strides, sizes, backgrounds = [], [], []
    while numbers:
        x, y, of_background, shapes = map(int, numbers[:4])
        lengths, numbers = numbers[4 : 4 + 2 * shapes], numbers[4 + 2 * shapes :]
        strides.append((x, y))
        sizes.append(tuple(zip(lengths[::2], lengths[1::2], strict=True)))
        backgrounds.append(of_background)
    return GridDescription(tuple(strides), tuple(sizes), offset, tuple(backgrounds))


def _plain_lengths(sizes: object) -> list[int] | None:
    """Rows and columns of a list of plain tuples, in turn; None for all else.

    Most calls pass such a list: to check each of its levels takes as long as a small operator.
    """
    if type(sizes) is not list:
        return None
    lengths: list[int] = []
    for size in sizes:
        if type(size) is not tuple or len(size) != 2:
            return None
        lengths += size
    for length in lengths:  # a generator would take twice as long
        if type(length) is not int or not 0 <= length < 2**63:
            return None
    return lengths


def _sequence(name: str, value: object) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{name}: expected a sequence with an entry a level, got {describe(value)}")
    return value


def _frozen(level: object) -> object:
    """``level`` with tuples in place of its sequences, so that a grid can be hashed."""
    if isinstance(level, Sequence) and not isinstance(level, str):
        return tuple(map(_frozen, level))
    return level


def _axis_strides(name: str, stride: object) -> tuple[int, int]:
    """Along x and along y."""
    is_pair = isinstance(stride, Sequence) and not isinstance(stride, str) and len(stride) == 2
    pair: tuple[Any, Any] = tuple(stride) if is_pair else (stride, stride)  # type: ignore[arg-type,assignment]
    for length in pair:
        check_integer(name, length, minimum=1, below=2**31)
    return int(pair[0]), int(pair[1])


def _backgrounds(value: object, levels: int) -> tuple[int, ...]:
    """Of each level."""
    each = value if isinstance(value, Sequence) and not isinstance(value, str) else [value] * levels
    if len(each) != levels:
        raise ValueError(
            f"backgrounds: expected an integer, or one for each of {levels} levels, "
            f"got {reprlib.repr(value)}"
        )
    for index, number in enumerate(each):
        name = "backgrounds" if each is not value else f"backgrounds[{index}]"
        check_integer(name, number, minimum=1, below=2**31)
    return tuple(map(int, each))


def _level_shapes(name: str, level: object) -> tuple[Shape, ...]:
    entries = level if isinstance(level, tuple) else (level,)
    if not entries:
        raise ValueError(f"{name}: expected at least one shape, got {reprlib.repr(level)}")
    return tuple(_shape(name, entry) for entry in entries)


def _shape(name: str, entry: object) -> Shape:
    lengths = entry if isinstance(entry, tuple) else (entry, entry)
    expected = f"{name}: expected a number, or a sequence of numbers and (width, height) pairs"
    if len(lengths) != 2:
        raise ValueError(f"{expected}, got {reprlib.repr(entry)}")
    if not all(isinstance(length, Real) and not isinstance(length, bool) for length in lengths):
        raise TypeError(f"{expected}, got {describe(entry)}")
    if not all(map(is_positive, lengths)):
        raise ValueError(f"{expected}, all positive and finite, got {reprlib.repr(entry)}")
    return float(lengths[0]), float(lengths[1])
