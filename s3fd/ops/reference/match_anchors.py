"""Two-stage matching of anchors to boxes (S3FD's scale compensation), in plain PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from s3fd.ops.reference._iou import intersection, pairwise_iou, sides_and_areas

BACKGROUND = -1
IGNORED = -2


@torch.no_grad()
def match_anchors(
    anchors: Tensor,  # [A, 4]
    boxes: Sequence[Tensor],  # B tensors [G_i, 4]
    *,
    positive_iou: float = 0.35,
    candidate_iou: float = 0.1,
    top_n: int | None = None,
    keep_best: bool | Literal["ties"] = True,
    ignore: Sequence[Tensor] | None = None,  # B tensors [I_i, 4]
    background_iou: float | None = None,
) -> Tensor:  # int64 [B, A]
    """Twin of :func:`s3fd.ops.match_anchors`: one ``[G, A]`` IoU matrix an image."""
    assert anchors.ndim == 2
    assert anchors.shape[1] == 4
    assert all(b.ndim == 2 and b.shape[1] == 4 for b in boxes)
    assert ignore is None or len(ignore) == len(boxes)
    assert background_iou is None or background_iou <= positive_iou

    by_side = sides_and_areas(anchors)  # [4, A], [A]
    matched = torch.full((len(boxes), anchors.shape[0]), BACKGROUND, device=anchors.device)
    for image, image_boxes in enumerate(boxes):
        if image_boxes.shape[0] > 0 and anchors.shape[0] > 0:
            iou = pairwise_iou(by_side, sides_and_areas(image_boxes))  # [G, A]
            if keep_best == "ties":
                matched[image] = _match_with_ties(iou, positive_iou)
            else:
                matched[image] = _match_image(iou, positive_iou, candidate_iou, top_n, keep_best)
            if background_iou is not None:
                best = iou.amax(dim=0)  # [A]
                between = (best.double() >= background_iou) & (best > 0)  # bool [A]
                matched[image].masked_fill_(between & (matched[image] == BACKGROUND), IGNORED)
        if ignore is not None and ignore[image].shape[0] > 0:
            inside = _half_inside(by_side, ignore[image])  # bool [A]
            matched[image].masked_fill_(inside & (matched[image] == BACKGROUND), IGNORED)
    return matched


def _match_image(
    iou: Tensor,  # [G, A]
    positive_iou: float,
    candidate_iou: float,
    top_n: int | None,
    keep_best: bool,
) -> Tensor:  # int64 [A]
    num_boxes, num_anchors = iou.shape

    # Stage 1: each anchor takes the box that it overlaps most, if that is enough. max() gives the
    # lowest index of equal values. Thresholds are compared in double.
    best_iou, best_box = iou.max(dim=0)  # [A], [A]
    positive = (best_iou.double() >= positive_iou) & (best_iou > 0)  # [A]
    matched = best_box.where(positive, BACKGROUND)  # [A]
    if keep_best:
        top_iou, top_anchor = iou.max(dim=1, keepdim=True)  # [G, 1], [G, 1]
        winner = _settle_claims(top_iou, top_anchor, top_iou > 0, num_anchors)  # [A]
        matched = winner.where(winner >= 0, matched)

    # Stage 2: boxes that got fewer anchors than the average claim their N best, if still free.
    count = matched[matched >= 0].bincount(minlength=num_boxes)  # [G]
    n = max(1, int(count.sum()) // num_boxes) if top_n is None else top_n
    short = (count < n).nonzero().squeeze(1)  # [S]
    reached = (best_iou.double() > candidate_iou).nonzero().squeeze(1)  # [R], ascending
    if short.numel() == 0 or reached.numel() == 0:
        return matched
    candidate = iou[short[:, None], reached]  # [S, R]
    order = _rank(candidate, torch.arange(reached.numel(), device=iou.device))  # [S, R]
    nearest = order.topk(min(n, reached.numel()), dim=1).indices  # [S, n]
    claim_iou, claim_anchor = candidate.gather(1, nearest), reached[nearest]  # [S, n], [S, n]
    valid = (claim_iou.double() > candidate_iou) & (matched[claim_anchor] < 0)  # [S, n]
    winner = _settle_claims(claim_iou, claim_anchor, valid, num_anchors, boxes=short)  # [A]
    return winner.where(winner >= 0, matched)


def _match_with_ties(iou: Tensor, positive_iou: float) -> Tensor:  # [G, A] -> int64 [A]
    """One stage: an anchor's best box, if that is enough or if some box has no better anchor."""
    best_iou, best_box = iou.max(dim=0)  # [A], [A]
    promoted = ((iou == iou.amax(dim=1, keepdim=True)) & (iou > 0)).any(dim=0)  # bool [A]
    positive = (best_iou.double() >= positive_iou) & (best_iou > 0)  # bool [A]
    return best_box.where(positive | promoted, BACKGROUND)


def _settle_claims(
    iou: Tensor,  # [S, n]
    anchor: Tensor,  # int64 [S, n]: box s claims these anchors
    valid: Tensor,  # bool [S, n]: which of the claims count
    num_anchors: int,
    boxes: Tensor | None = None,  # int64 [S]: index of box s, default s
) -> Tensor:  # int64 [A]
    """The box of each anchor, -1 without one: the largest IoU wins, then the lower box index."""
    if boxes is None:
        boxes = torch.arange(iou.shape[0], device=iou.device)
    rank = _rank(iou, boxes[:, None])[valid]  # [claims]
    best = torch.zeros(num_anchors, dtype=torch.int64, device=iou.device)  # [A]
    best.scatter_reduce_(0, anchor[valid], rank, "amax")
    return (-best & 0xFFFFFFFF).where(best > 0, BACKGROUND)


def _rank(iou: Tensor, index: Tensor) -> Tensor:
    """One int64 that orders pairs by IoU, then by *lower* index, and so never ties.

    The bits of a float32 ``>= 0`` order as the numbers do; ``-rank & 0xFFFFFFFF`` is the index.
    """
    return (iou.view(torch.int32).long() << 32) - index


def _half_inside(
    anchors: tuple[Tensor, Tensor],  # [4, A], [A]: sides and areas
    ignore: Tensor,  # [I, 4]
) -> Tensor:  # bool [A]
    """Anchors of whose own area at least half lies in one ignore box."""
    sides, areas = anchors
    ignore_sides, _ = sides_and_areas(ignore)  # [4, I]
    return intersection(sides, ignore_sides).amax(dim=0) >= 0.5 * areas
