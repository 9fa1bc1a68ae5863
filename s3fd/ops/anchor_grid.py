"""The anchors of a feature pyramid (S3FD, section 3.1: scale-equitable levels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops.grid import GridDescription, unpack_grid
from s3fd.ops.match_anchors import MatchOptions, match_grid


class AnchorGrid(GridDescription):
    """Where the anchors of a detector are: a description, from which operators make boxes.

    Anchors are ordered by level, then row, then column, then shape. Those of cell ``(row, col)``
    on a level with stride ``s`` are centred at ``((col + offset) * s, (row + offset) * s)``.

    A level's head maps have ``shapes * (backgrounds + 1)`` and ``shapes * 4`` channels,
    shape-major: of each shape the background logits and then the face's. The CUDA kernels take
    grids of up to 16 levels, with 96 shapes in all of them together.

    Args:
        strides: pixels of the image per cell, of each level: a positive integer, or two of them
            where they differ along x and y.
        sizes: what sits in each cell of a level: a number (one square of that side), or a
            sequence of numbers and ``(width, height)`` pairs, in pixels.
        offset: where in its cell an anchor is centred, in cells.
        backgrounds: background logits of an anchor in the class maps, of all levels or of each;
            more than one for max-out background (S3FD, section 3.3). Only
            :func:`decode_detections` asks.

    Raises:
        TypeError: an entry is of the wrong kind.
        ValueError: as many sizes as strides are needed, at least one; strides, sizes and
            backgrounds have to be positive and finite; a level needs at least one shape.

    Example:
        >>> from s3fd.ops import AnchorGrid
        >>> grid = AnchorGrid(strides=(8, 16), sizes=(16, (32, (32, 64))))
        >>> grid.shapes
        (((16.0, 16.0),), ((32.0, 32.0), (32.0, 64.0)))
        >>> grid.anchors(grid.feature_sizes((32, 32)))[16]
        tensor([-8., -8., 24., 24.])
    """

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
        result: Tensor = torch.ops.s3fd.anchors(like, *self.operator_arguments(feature_sizes))
        return result

    def match(
        self,
        feature_sizes: Sequence[tuple[int, int]],
        boxes: Sequence[Tensor],
        *,
        positive_iou: float = 0.35,
        candidate_iou: float = 0.1,
        top_n: int | None = None,
        keep_best: bool | Literal["ties"] = True,
        ignore: Sequence[Tensor] | None = None,
        background_iou: float | None = None,
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
            background_iou: as for :func:`match_anchors`.

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
        options = MatchOptions(
            positive_iou, candidate_iou, top_n, keep_best, ignore, background_iou
        )
        return match_grid(self, feature_sizes, boxes, options)


@_registration.fake("s3fd::anchors")
def _fake(like: Tensor, feature_sizes: list[int], grid: list[float]) -> Tensor:
    return like.new_empty((unpack_grid(grid).num_anchors(feature_sizes), 4))
