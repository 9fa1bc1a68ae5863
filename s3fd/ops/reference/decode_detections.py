"""Twin of :func:`s3fd.ops.decode_detections`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from s3fd.ops._checks import VARIANCES
from s3fd.ops.grid import GridDescription
from s3fd.ops.reference.anchor_grid import anchors as list_anchors
from s3fd.ops.reference.box_coding import decode_boxes
from s3fd.ops.reference.nms import batched_nms

CANDIDATES, KEEP = 5000, 750  # the defaults, which signatures spell out


def decode_detections(
    logits: Sequence[Tensor],  # of each level [B, S * (k + C), H, W]; sigmoid: [B, S * C, H, W]
    deltas: Sequence[Tensor],  # of each level [B, S * 4, H, W]
    grid: GridDescription,
    *,
    score_threshold: float = 0.5,
    iou_threshold: float = 0.3,
    candidates: int = CANDIDATES,
    keep: int = KEEP,
    image_sizes: Sequence[tuple[int, int]] | None = None,
    variances: tuple[float, float] = VARIANCES,
    box_weights: tuple[float, float, float, float] | None = None,
    padded: bool = False,
    activation: Literal["softmax", "sigmoid"] = "softmax",
    classes: int | None = None,
    return_indices: bool = False,
) -> tuple[Tensor, ...]:  # [N, 4], [N], int64 [B + 1]; padded: see below; perhaps two int64 [N]
    """Joins the levels, and decodes image by image what passes the threshold."""
    assert len(logits) == len(deltas) == grid.num_levels

    if box_weights is not None:
        variances = 1 / box_weights[0], 1 / box_weights[2]
    num_classes = 1 if classes is None else classes
    margins = torch.cat(
        [
            _by_anchor(level, num_classes)
            if activation == "sigmoid"
            else _margins(level, backgrounds, num_classes)
            for level, backgrounds in zip(logits, grid.num_backgrounds, strict=True)
        ],
        1,
    )  # [B, A, C]
    joined = torch.cat([_by_anchor(level, 4) for level in deltas], 1)  # [B, A, 4]
    feature_sizes = [(level.shape[2], level.shape[3]) for level in logits]
    anchors = list_anchors(grid, feature_sizes, margins.device)  # [A, 4]
    assert margins.shape[1] == joined.shape[1] == len(anchors), "maps of another grid"
    lowest = margins.new_tensor(score_to_margin(score_threshold))

    images = []
    for image, of_image in enumerate(margins):
        anchor, label = (of_image >= lowest).nonzero(as_tuple=True)  # [P], [P], by anchor
        margin = of_image[anchor, label]  # [P]
        image_size = None if image_sizes is None else image_sizes[image]
        box = decode_boxes(joined[image, anchor], anchors[anchor], variances, image_size)
        width, height = box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]  # [P], [P]
        area = width * height  # [P]
        proper = (width > 0) & (height > 0) & (area > 0) & (area < torch.inf)  # [P]
        rows = proper.nonzero()[:, 0]  # [R]
        best = rows[margin[rows].argsort(descending=True, stable=True)[:candidates]]  # [C]
        kept = batched_nms(box[best], margin[best], label[best], iou_threshold)  # [K]
        best = best[kept[:keep]]
        images.append((box[best], margin[best].sigmoid(), label[best], anchor[best]))
    results = _pad(images, keep, margins) if padded else _join(images, margins)
    return wanted_results(results, classes is not None, return_indices)


def wanted_results(
    results: tuple[Tensor, ...], wants_labels: bool, wants_indices: bool
) -> tuple[Tensor, ...]:
    """Of boxes, scores, splits, labels and indices those that were asked for."""
    labels = results[3:4] if wants_labels else ()
    return *results[:3], *labels, *(results[4:] if wants_indices else ())


def _join(
    images: Sequence[tuple[Tensor, ...]],  # of each [K_i, 4], [K_i], int64 [K_i], [K_i]
    like: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # [N, 4], [N], int64 [B + 1], [N], [N]
    """All rows after each other, and where those of each image begin."""
    none = like.new_zeros(0, 4), like.new_zeros(0), *like.new_zeros(2, 0, dtype=torch.int64)
    boxes, scores, labels, indices = map(torch.cat, zip(none, *images, strict=True))
    counts = torch.tensor([0, *(len(box) for box, *_ in images)], device=like.device)  # [B + 1]
    return boxes, scores, counts.cumsum(0), labels, indices


def _pad(
    images: Sequence[tuple[Tensor, ...]],  # of each [K_i, 4], [K_i], int64 [K_i], [K_i]
    keep: int,
    like: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As many rows for each image, those behind its detections 0, or -1 for integers.

    ``[B, keep, 4], [B, keep], int64 [B], [B, keep], [B, keep]``
    """
    boxes, scores = like.new_zeros(len(images), keep, 4), like.new_zeros(len(images), keep)
    labels, indices = like.new_full((2, len(images), keep), -1, dtype=torch.int64)
    for image, rows in enumerate(images):
        for padded, of_image in zip((boxes, scores, labels, indices), rows, strict=True):
            padded[image, : len(of_image)] = of_image
    counts = torch.tensor([len(box) for box, *_ in images], dtype=torch.int64, device=like.device)
    return boxes, scores, counts, labels, indices


def score_to_margin(score: float) -> float:
    """The logit of a score: the margin of a face over its background at which it has it."""
    if not 0 < score < 1:
        return -math.inf if score <= 0 else math.inf
    return math.log(score / (1 - score))


def _margins(
    logits: Tensor,  # [B, S * (k + C), H, W]
    backgrounds: int,
    classes: int,
) -> Tensor:  # [B, A, C]
    """Logits of the softmax over the strongest background and the classes.

    Each class less the logarithm of the summed exponentials of all others: of one class, the
    difference to its background, before any exponential.
    """
    by_anchor = _by_anchor(logits, backgrounds + classes)  # [B, A, k + C]
    background = by_anchor[..., :backgrounds].amax(dim=-1, keepdim=True)  # [B, A, 1]
    if classes == 1:
        return by_anchor[..., -1:] - background
    competing = torch.cat([background, by_anchor[..., backgrounds:]], -1).double()  # [B, A, 1 + C]
    margins = torch.empty_like(competing[..., 1:])  # [B, A, C]
    for label in range(classes):
        others = competing.clone()
        others[..., 1 + label] = -torch.inf
        margins[..., label] = competing[..., 1 + label] - others.logsumexp(dim=-1)
    return margins.float()


def _by_anchor(level: Tensor, channels: int) -> Tensor:  # [B, S * C, H, W] -> [B, H * W * S, C]
    anchors = level.shape[1] // channels * level.shape[2] * level.shape[3]
    return level.float().permute(0, 2, 3, 1).reshape(level.shape[0], anchors, channels)
