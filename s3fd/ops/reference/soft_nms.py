"""Twin of :func:`s3fd.ops.soft_nms`."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from s3fd.ops.reference._iou import pairwise_iou, sides_and_areas


@torch.no_grad()
def soft_nms(
    boxes: Tensor,  # [N, 4]
    scores: Tensor,  # [N]
    *,
    decay: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.3,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:  # int64 [K], [K]
    """Takes the best box out, lets the scores of what overlaps it fall, and so on."""
    assert boxes.shape == (*scores.shape, 4)

    sides, areas = sides_and_areas(boxes)  # [4, N], [N]
    fallen = scores.to(torch.float64, copy=True)  # [N]
    left = (fallen >= score_threshold).nonzero()[:, 0]  # [L]
    taken, at = [left[:0]], [scores[:0]]
    while left.numel() > 0:
        first = fallen[left].argsort(descending=True, stable=True)[:1]  # [1]
        best = left[first]  # [1]
        taken.append(best)
        at.append(fallen[best].to(scores.dtype))
        left = left[left != best]  # [L - 1]
        iou = pairwise_iou((sides[:, left], areas[left]), (sides[:, best], areas[best]))[0]  # [L-1]
        fallen[left] *= _factor(iou, decay, sigma, iou_threshold).double()
        left = left[fallen[left] >= score_threshold]
    return torch.cat(taken), torch.cat(at)


def _factor(iou: Tensor, decay: str, sigma: float, iou_threshold: float) -> Tensor:  # [L] -> [L]
    if decay == "gaussian":
        return torch.exp(-(iou * iou) / sigma)  # equation 3
    return torch.where(iou.double() >= iou_threshold, 1 - iou, 1.0)  # equation 2
