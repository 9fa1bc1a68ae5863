"""Twin of :func:`s3fd.ops.vote_boxes`."""

import torch
from torch import Tensor

from s3fd.ops.reference._iou import pairwise_iou, sides_and_areas


@torch.no_grad()
def vote_boxes(
    boxes: Tensor,  # [N, 4]
    scores: Tensor,  # [N]
    iou_threshold: float,
    *,
    keep_single: bool = True,
) -> tuple[Tensor, Tensor]:  # [M, 4], [M]
    """Merges the best box with all that overlap it, then the best of the rest, and so on."""
    assert boxes.shape == (*scores.shape, 4)

    order = scores.argsort(descending=True, stable=True)  # [N]
    boxes, scores = boxes[order], scores[order]
    sides, areas = sides_and_areas(boxes)  # [4, N], [N]
    rest = torch.arange(len(scores), device=boxes.device)  # [N]: not merged yet, best first
    merged, best = [boxes[:0]], []
    while rest.numel() > 0:
        first = rest[:1]  # [1]
        iou = pairwise_iou((sides[:, rest], areas[rest]), (sides[:, first], areas[first]))[0]  # [R]
        joins = (iou.double() >= iou_threshold) & (iou > 0)  # [R]
        joins[0] = True  # also a degenerate box, which does not even overlap itself
        members, rest = rest[joins], rest[~joins]  # [J], [R - J]
        if keep_single or len(members) > 1:
            merged.append(_weighted_mean(boxes[members], scores[members]))
            best.append(first)
    return torch.cat(merged), scores[torch.cat(best)] if best else scores[:0]


def _weighted_mean(
    boxes: Tensor,  # [J, 4], best first
    scores: Tensor,  # [J]
) -> Tensor:  # [1, 4]
    if len(boxes) == 1 or scores[0] == 0:
        return boxes[:1]
    weights = scores.double()[:, None]  # [J, 1]
    # cumsum() adds in the order of the scores, where sum() adds in an order of its own.
    total = torch.cat([boxes.double() * weights, weights], dim=1).cumsum(dim=0)[-1:]  # [1, 5]
    return (total[:, :4] / total[:, 4:]).to(boxes.dtype)
