"""Twins of :func:`s3fd.ops.nms` and :func:`s3fd.ops.batched_nms`."""

from __future__ import annotations

import torch
from torch import Tensor

from s3fd.ops.reference._iou import pairwise_iou, sides_and_areas


def nms(
    boxes: Tensor,  # [N, 4]
    scores: Tensor,  # [N]
    iou_threshold: float,
    *,
    keep: int | None = None,
) -> Tensor:  # int64 [K]
    """Keeps the best box that is left, drops those that overlap it by more, and so on."""
    return _keep_best(boxes, scores, iou_threshold)[:keep]


def nms_padded(
    boxes: Tensor,  # [N, 4]
    scores: Tensor,  # [N]
    iou_threshold: float,
    keep: int,
) -> tuple[Tensor, Tensor]:  # int64 [keep], int64 []
    """The same filled up with -1, and how many were kept: the public function's `padded`."""
    kept = nms(boxes, scores, iou_threshold, keep=keep)  # [K]
    indices = kept.new_full((keep,), -1)  # [keep]
    indices[: len(kept)] = kept
    return indices, kept.new_tensor(len(kept))


def _keep_best(
    boxes: Tensor,  # [N, 4]
    scores: Tensor,  # [N]
    iou_threshold: float,
) -> Tensor:  # int64 [K]
    assert boxes.ndim == 2
    assert boxes.shape[1] == 4
    assert scores.shape == boxes.shape[:1]

    # float64 holds integers; those from 2^53 on are the public function's to refuse.
    wide = torch.float32 if boxes.is_floating_point() else torch.float64
    dtype = torch.promote_types(boxes.dtype, wide)
    left = scores.argsort(descending=True, stable=True)  # [N], NaN first
    sides, areas = sides_and_areas(boxes[left], dtype)  # [4, N], [N], by falling score
    kept = []
    while left.numel() > 0:
        kept.append(left[0])
        best = sides[:, :1], areas[:1]  # [4, 1], [1]
        iou = pairwise_iou((sides[:, 1:], areas[1:]), best)[0]  # [N']
        survives = (iou.double() <= iou_threshold).nonzero()[:, 0] + 1  # [N"]
        left, sides, areas = left[survives], sides[:, survives], areas[survives]
    return torch.stack(kept) if kept else left


def batched_nms(
    boxes: Tensor,  # [N, 4]
    scores: Tensor,  # [N]
    groups: Tensor,  # int64 [N]
    iou_threshold: float,
) -> Tensor:  # int64 [K]
    """Non-maximum suppression of each group for itself; all that is kept, by falling score."""
    assert groups.shape == scores.shape

    keep = torch.zeros_like(groups, dtype=torch.bool)  # [N]
    for group in groups.unique():
        members = (groups == group).nonzero()[:, 0]  # [M]
        keep[members[nms(boxes[members], scores[members], iou_threshold)]] = True
    order = scores.argsort(descending=True, stable=True)  # [N]
    return order[keep[order]]
