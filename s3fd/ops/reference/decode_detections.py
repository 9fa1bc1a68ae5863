"""Twin of :func:`s3fd.ops.decode_detections`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from s3fd.ops.grid import GridDescription
from s3fd.ops.reference.anchor_grid import anchors as list_anchors
from s3fd.ops.reference.box_coding import decode_boxes
from s3fd.ops.reference.nms import nms


def decode_detections(
    logits: Sequence[Tensor],  # of each level [B, S * (k + 1), H, W]
    deltas: Sequence[Tensor],  # of each level [B, S * 4, H, W]
    grid: GridDescription,
    *,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.3,
    candidates: int = 5000,
    keep: int = 750,
    image_sizes: Sequence[tuple[int, int]] | None = None,
    variances: tuple[float, float] = (0.1, 0.2),
    padded: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # [N, 4], [N], int64 [B + 1]; padded: see below
    """Joins the levels, and decodes image by image what passes the threshold."""
    return decode_above_margin(
        logits,
        deltas,
        grid,
        score_to_margin(score_threshold),
        iou_threshold,
        candidates,
        keep,
        image_sizes,
        variances,
        padded,
    )


def decode_above_margin(
    logits: Sequence[Tensor],  # of each level [B, S * (k + 1), H, W]
    deltas: Sequence[Tensor],  # of each level [B, S * 4, H, W]
    grid: GridDescription,
    lowest_margin: float,
    iou_threshold: float,
    candidates: int,
    keep: int,
    image_sizes: Sequence[tuple[int, int]] | None,
    variances: tuple[float, float],
    padded: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:  # [N, 4], [N], int64 [B + 1]
    """The same, with the threshold given as the margin of the face over the background."""
    assert len(logits) == len(deltas) == grid.num_levels

    margins = torch.cat(
        [
            _margins(level, backgrounds)
            for level, backgrounds in zip(logits, grid.num_backgrounds, strict=True)
        ],
        1,
    )  # [B, A]
    joined = torch.cat([_by_anchor(level, 4) for level in deltas], 1)  # [B, A, 4]
    feature_sizes = [(level.shape[2], level.shape[3]) for level in logits]
    anchors = list_anchors(grid, feature_sizes, margins.device)  # [A, 4]
    lowest = margins.new_tensor(lowest_margin)

    boxes, kept_margins = [], []
    for image, margin in enumerate(margins):
        passing = (margin >= lowest).nonzero()[:, 0]  # [P]
        image_size = None if image_sizes is None else image_sizes[image]
        box = decode_boxes(joined[image, passing], anchors[passing], variances, image_size)
        width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]  # [P], [P]
        area = width * height  # [P]
        proper = (width > 0) & (height > 0) & (area > 0) & (area < torch.inf)  # [P]
        box, margin = box[proper], margin[passing[proper]]
        best = margin.argsort(descending=True, stable=True)[:candidates]  # [C]
        best = best[nms(box[best], margin[best], iou_threshold)[:keep]]  # [K]
        boxes.append(box[best])
        kept_margins.append(margin[best])
    if padded:
        return _pad(boxes, kept_margins, keep, margins)
    counts = torch.tensor([0, *map(len, boxes)], device=margins.device)  # [B + 1]
    none = anchors.new_zeros(0, 4)
    scores = torch.cat([none[:, 0], *kept_margins]).sigmoid()
    return torch.cat([none, *boxes]), scores, counts.cumsum(0)


def _pad(
    boxes: list[Tensor],  # of each image [K_i, 4]
    margins: list[Tensor],  # of each image [K_i]
    keep: int,
    like: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # [B, keep, 4], [B, keep], int64 [B]
    """As many rows for each image, those behind its detections 0."""
    padded_boxes = like.new_zeros(len(boxes), keep, 4)
    scores = like.new_zeros(len(boxes), keep)
    for image, (box, margin) in enumerate(zip(boxes, margins, strict=True)):
        padded_boxes[image, : len(box)] = box
        scores[image, : len(box)] = margin.sigmoid()
    counts = torch.tensor([len(box) for box in boxes], dtype=torch.int64, device=like.device)
    return padded_boxes, scores, counts


def score_to_margin(score: float) -> float:
    """The margin of the face over the background at which its score is ``score``."""
    if not 0 < score < 1:
        return -math.inf if score <= 0 else math.inf
    return math.log(score / (1 - score))


def _margins(logits: Tensor, backgrounds: int) -> Tensor:  # [B, S * (k + 1), H, W] -> [B, A]
    """Face less strongest background: max-out background and softmax, before the exponential."""
    by_anchor = _by_anchor(logits, backgrounds + 1)  # [B, H * W * S, k + 1]
    return by_anchor[..., -1] - by_anchor[..., :-1].amax(dim=-1)


def _by_anchor(level: Tensor, channels: int) -> Tensor:  # [B, S * C, H, W] -> [B, H * W * S, C]
    anchors = level.shape[1] // channels * level.shape[2] * level.shape[3]
    return level.float().permute(0, 2, 3, 1).reshape(level.shape[0], anchors, channels)
