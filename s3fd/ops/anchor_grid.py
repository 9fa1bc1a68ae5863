"""The anchors of a feature pyramid (S3FD, section 3.1: scale-equitable levels)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from numbers import Real
from typing import Any, TypeAlias

import torch
from torch import Tensor

from s3fd.ops import _registration, reference
from s3fd.ops._checks import check_integer, check_number, check_size, describe

Shape: TypeAlias = tuple[float, float]
"""Width and height of an anchor, in pixels."""

Level: TypeAlias = float | tuple[float | Shape, ...]
"""The anchors of a level's cells: the side of one square, or several sides and shapes."""


@dataclass(frozen=True)
class AnchorGrid:
    """Where the anchors of a detector are: a description, from which operators make boxes.

    Anchors are ordered by level, then row, then column, then shape. Those of cell ``(row, col)``
    on a level with stride ``s`` are centred at ``((col + offset) * s, (row + offset) * s)``.

    A level's head maps have ``shapes * classes`` and ``shapes * 4`` channels, shape-major.
    The CUDA kernels take grids of up to 16 levels, with 96 shapes in all of them together.

    Args:
        strides: pixels of the image per cell, of each level; positive integers.
        sizes: what sits in each cell of a level: a number (one square of that side), or a
            sequence of numbers and ``(width, height)`` pairs, in pixels.
        offset: where in its cell an anchor is centred, in cells.

    Raises:
        TypeError: an entry is of the wrong kind.
        ValueError: as many sizes as strides are needed, at least one; strides and sizes have to
            be positive and finite; a level needs at least one shape.

    Example:
        >>> from s3fd.ops import AnchorGrid
        >>> grid = AnchorGrid(strides=(8, 16), sizes=(16, (32, (32, 64))))
        >>> grid.shapes
        (((16.0, 16.0),), ((32.0, 32.0), (32.0, 64.0)))
        >>> grid.anchors(grid.feature_sizes((32, 32)))[16]
        tensor([-8., -8., 24., 24.])
    """

    strides: tuple[int, ...]
    sizes: tuple[Level, ...]
    offset: float = 0.5

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
        _ = self.shapes

    @classmethod
    def s3fd(cls) -> AnchorGrid:
        """The paper's grid: six levels, strides 4 to 128, one square of four strides a cell."""
        strides = (4, 8, 16, 32, 64, 128)
        return cls(strides=strides, sizes=tuple(4 * stride for stride in strides))

    @property
    def num_levels(self) -> int:
        """Number of levels."""
        return len(self.strides)

    @cached_property
    def shapes(self) -> tuple[tuple[Shape, ...], ...]:
        """Of each level, ``(width, height)`` of the anchors of a cell, in pixels."""
        return tuple(
            _level_shapes(f"sizes[{index}]", level) for index, level in enumerate(self.sizes)
        )

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
            >>> AnchorGrid.s3fd().feature_sizes((640, 320))[:2]
            [(160, 80), (80, 40)]
        """
        height, width = check_size("image_size", image_size)
        return [(-(-height // stride), -(-width // stride)) for stride in self.strides]

    def anchors(
        self,
        feature_sizes: Sequence[tuple[int, int]],
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        """Lists the anchors of feature maps of given sizes.

        Args:
            feature_sizes: ``(rows, columns)`` of each level; 0 for a level without cells.
            device: where to make them; None for torch's default.
            dtype: float16, bfloat16, float32 or float64. Computed in float64, rounded once.

        Returns:
            Tensor[A, 4]: boxes ``(x1, y1, x2, y2)`` in pixels of the image, not clipped to it.

        Raises:
            TypeError, ValueError: ``feature_sizes`` is not two integers >= 0 for every level, or
                ``dtype`` is no floating-point type.

        Example:
            >>> grid = AnchorGrid.s3fd()
            >>> grid.anchors(grid.feature_sizes((640, 640))).shape
            torch.Size([34125, 4])
        """
        if dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            raise TypeError(f"dtype: expected a floating-point dtype, got {dtype}")
        like = torch.empty(0, device=device, dtype=dtype)
        result: Tensor = torch.ops.s3fd.anchors(like, *self._operator_arguments(feature_sizes))
        return result

    def match(
        self,
        feature_sizes: Sequence[tuple[int, int]],
        boxes: Sequence[Tensor],
        *,
        positive_iou: float = 0.35,
        candidate_iou: float = 0.1,
        top_n: int | None = None,
        keep_best: bool = True,
        ignore: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Two-stage (scale compensation) matching of this grid's anchors to boxes.

        Args:
            feature_sizes: as for :meth:`anchors`.
            boxes (list of Tensor[G_i, 4]): boxes of each image, in pixels.
            positive_iou: as for :func:`match_anchors`.
            candidate_iou: as for :func:`match_anchors`.
            top_n: as for :func:`match_anchors`.
            keep_best: as for :func:`match_anchors`.
            ignore (list of Tensor[G_i, 4]): as for :func:`match_anchors`.

        Returns:
            Tensor[B, A], int64: what :func:`match_anchors` gives for :meth:`anchors`, at a cost
            that grows with the overlaps and not with anchors times boxes.

        Raises:
            TypeError, ValueError: as :meth:`anchors` and :func:`match_anchors`.

        Example:
            >>> import torch
            >>> grid = AnchorGrid(strides=(16,), sizes=(16,))
            >>> grid.match([(1, 2)], [torch.tensor([[17.0, 0.0, 32.0, 16.0]])])
            tensor([[-1,  0]])
        """
        from s3fd.ops.match_anchors import match_grid

        return match_grid(
            self,
            feature_sizes,
            boxes,
            positive_iou=positive_iou,
            candidate_iou=candidate_iou,
            top_n=top_n,
            keep_best=keep_best,
            ignore=ignore,
        )

    def _operator_arguments(
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
        return [length for size in sizes for length in size], *self._description

    @cached_property
    def _description(self) -> tuple[list[float], list[float], list[int], float]:
        return (
            [float(stride) for stride in self.strides],
            [length for shapes in self.shapes for shape in shapes for length in shape],
            list(self.num_shapes),
            self.offset,
        )


def grid_of_arguments(
    strides: list[float], shapes: list[float], num_shapes: list[int], offset: float
) -> AnchorGrid:
    """The grid that was passed to an operator with `AnchorGrid._operator_arguments`."""
    pairs = zip(shapes[::2], shapes[1::2], strict=True)
    return AnchorGrid(
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


@_registration.fake("s3fd::anchors")
def _fake(
    like: Tensor,
    feature_sizes: list[int],
    strides: list[float],
    shapes: list[float],
    num_shapes: list[int],
    offset: float,
) -> Tensor:
    rows, columns = feature_sizes[::2], feature_sizes[1::2]
    total = sum(map(math.prod, zip(rows, columns, num_shapes, strict=True)))
    return like.new_empty((total, 4))


def _elsewhere(
    like: Tensor,
    feature_sizes: list[int],
    strides: list[float],
    shapes: list[float],
    num_shapes: list[int],
    offset: float,
) -> Tensor:
    grid = grid_of_arguments(strides, shapes, num_shapes, offset)
    sizes = list(zip(feature_sizes[::2], feature_sizes[1::2], strict=True))
    return reference.anchors(grid, sizes, like.device, like.dtype)


_registration.run_elsewhere("s3fd::anchors", _elsewhere)
