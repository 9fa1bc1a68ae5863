"""How well a predicted box lies on its face: the losses of the IoU family."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from s3fd.ops import decode_boxes
from s3fd.training.config import IouLoss

_EPSILON = 1e-7
# Of width and height, about sixty times the anchor's: a network that has learned nothing yet says
# more, and infinite boxes have no IoU.
_LARGEST_DELTA = 20.0


def iou_loss(predicted: Tensor, target: Tensor, kind: IouLoss) -> Tensor:
    """A loss of each pair of boxes that also says where to move without an overlap.

    All of them are ``1 - IoU`` and a penalty: what is empty of the box around both (``"giou"``,
    Rezatofighi et al., CVPR 2019), the distance of the centres over the diagonal of that box
    (``"diou"``, Zheng et al., AAAI 2020), or that and the differences of width and height over the
    width and height of that box (``"eiou"``, Zhang et al., 2021). Unlike smooth L1 on four deltas
    they see a box as one thing, at the scale of the face.

    Args:
        predicted: ``[N, 4]``, floating point, differentiable.
        target: ``[N, 4]``, boxes with an area.
        kind: the penalty.

    Returns:
        ``[N]``; a pair of equal boxes has a loss of 0.
    """
    (px1, py1, px2, py2), (tx1, ty1, tx2, ty2) = predicted.unbind(-1), target.unbind(-1)
    predicted_width, predicted_height = px2 - px1, py2 - py1
    width, height = tx2 - tx1, ty2 - ty1
    overlap_width = (torch.minimum(px2, tx2) - torch.maximum(px1, tx1)).clamp(min=0)
    overlap_height = (torch.minimum(py2, ty2) - torch.maximum(py1, ty1)).clamp(min=0)
    overlap = overlap_width * overlap_height
    union = predicted_width * predicted_height + width * height - overlap
    iou = overlap / (union + _EPSILON)
    around_width = torch.maximum(px2, tx2) - torch.minimum(px1, tx1)
    around_height = torch.maximum(py2, ty2) - torch.minimum(py1, ty1)
    if kind == "giou":
        around = around_width * around_height
        return 1 - iou + (around - union) / (around + _EPSILON)
    shift = (px1 + px2 - tx1 - tx2).square() / 4 + (py1 + py2 - ty1 - ty2).square() / 4
    loss = 1 - iou + shift / (around_width.square() + around_height.square() + _EPSILON)
    if kind == "eiou":
        loss = loss + (predicted_width - width).square() / (around_width.square() + _EPSILON)
        loss = loss + (predicted_height - height).square() / (around_height.square() + _EPSILON)
    return loss


def positive_boxes(
    deltas: Tensor, anchors: Tensor, boxes: Sequence[Tensor], matched: Tensor
) -> tuple[Tensor, Tensor]:
    """What the positive anchors predict, and the faces that they are matched to.

    Args:
        deltas: ``[B, A, 4]``.
        anchors: ``[A, 4]``.
        boxes: ``[G_i, 4]``, the faces of every image.
        matched: int64 ``[B, A]``, see `s3fd.ops.match_anchors`.

    Returns:
        Decoded boxes ``[P, 4]``, differentiable, and their faces ``[P, 4]``.
    """
    counts = torch.tensor([0, *map(len, boxes)], device=matched.device)
    starts = counts.cumsum(0)  # [B + 1], where the faces of each image begin
    faces = torch.cat([anchors[:0], *boxes])
    image, anchor = (matched >= 0).nonzero(as_tuple=True)
    chosen = deltas[image, anchor]
    chosen = torch.cat([chosen[:, :2], chosen[:, 2:].clamp(max=_LARGEST_DELTA)], dim=1)
    predicted = decode_boxes(chosen, anchors[anchor])
    return predicted, faces[starts[image] + matched[image, anchor]].to(predicted.dtype)
