"""Non-maximum suppression: of overlapping boxes, the best one stays."""

from __future__ import annotations

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import check_number, check_tensor, describe
from s3fd.ops.reference.nms import batched_nms as _batched_twin
from s3fd.ops.reference.nms import nms as _twin


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Keeps the best of boxes that overlap, and says which these are.

    The box with the largest score stays, and those whose IoU with it is more than the threshold go;
    then the best of those that are left stays, and so on. The answer is exactly that of
    ``torchvision.ops.nms`` on the CPU, without a comparison of every pair: boxes that stay are
    filed by size and place, and each box looks only where one that suppresses it can be.

    Args:
        boxes (Tensor[N, 4]): ``(x1, y1, x2, y2)`` in pixels. float16, bfloat16 (computed in
            float32), float32 or float64 (computed as they are), under autocast too.
        scores (Tensor[N]): of any floating-point dtype. Of equal scores the lower index goes first;
            a NaN goes before all numbers, as in :func:`torch.sort`.
        iou_threshold: in [0, 1]; compared as a double, and only a larger IoU suppresses.

    Returns:
        Tensor[K], int64: indices of the boxes that stay, by falling score. No boxes give an empty
        one. A degenerate box (without width or height, inside out, or with NaN or infinite
        coordinates) overlaps nothing, and so always stays. Not differentiable.

    Raises:
        TypeError: a tensor is not floating point, or ``iou_threshold`` no number.
        ValueError: wrong shapes, different devices, or ``iou_threshold`` outside of [0, 1].

    On devices without a kernel of their own (all but the CPU at present) it runs its PyTorch twin.

    Example:
        >>> import torch
        >>> from s3fd.ops import nms
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [20.0, 0, 30, 10]])
        >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5)
        tensor([1, 2])
    """
    boxes, scores = _checked(boxes, scores, iou_threshold)
    result: Tensor = torch.ops.s3fd.nms(boxes, scores, float(iou_threshold))
    return result


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Suppresses within groups (classes, images, levels): boxes of different groups never meet.

    What ``torchvision.ops.batched_nms`` is for, without its shift of coordinates, which rounds.

    Args:
        boxes (Tensor[N, 4]): as for :func:`nms`.
        scores (Tensor[N]): as for :func:`nms`.
        groups (Tensor[N], int64): the group of each box; any numbers.
        iou_threshold: as for :func:`nms`.

    Returns:
        Tensor[K], int64: indices of all boxes that stay in their groups, by falling score, of equal
        scores the lower index first. Not differentiable.

    Raises:
        TypeError, ValueError: as :func:`nms`; or ``groups`` is not int64 ``[N]``.

    Example:
        >>> import torch
        >>> from s3fd.ops import batched_nms
        >>> boxes = torch.tensor([[0.0, 0, 10, 10]] * 3)
        >>> batched_nms(boxes, torch.tensor([0.7, 0.9, 0.8]), torch.tensor([1, 2, 2]), 0.5)
        tensor([1, 0])
    """
    boxes, scores = _checked(boxes, scores, iou_threshold)
    check_tensor("groups", groups, ("N",), dtype=torch.int64)
    if groups.shape[0] != boxes.shape[0] or groups.device != boxes.device:
        raise ValueError(
            f"groups: expected the group of each box, int64 [{boxes.shape[0]}] on {boxes.device}, "
            f"got {describe(groups)}"
        )
    result: Tensor = torch.ops.s3fd.batched_nms(boxes, scores, groups, float(iou_threshold))
    return result


def _checked(boxes: Tensor, scores: Tensor, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """Boxes and scores without their history."""
    check_tensor("boxes", boxes, ("N", 4))
    check_tensor("scores", scores, ("N",))
    if scores.shape[0] != boxes.shape[0] or scores.device != boxes.device:
        raise ValueError(
            f"scores: expected the score of each box, [{boxes.shape[0]}] on {boxes.device}, "
            f"got {describe(scores)}"
        )
    check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)
    return boxes.detach(), scores.detach()


@_registration.fake("s3fd::nms")
def _fake(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@_registration.fake("s3fd::batched_nms")
def _fake_batched(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


_registration.run_elsewhere("s3fd::nms", _twin)
_registration.run_elsewhere("s3fd::batched_nms", _batched_twin)
