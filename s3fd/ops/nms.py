"""Non-maximum suppression: of overlapping boxes, the best one stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar, overload

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import (
    check_device,
    check_indices,
    check_most,
    check_scored_boxes,
    check_tensor,
    is_checked_by_kernel,
)

_Answer = TypeVar("_Answer")

_TWO_53 = 2.0**53


@overload
def nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    *,
    padded: Literal[False] = False,
    keep: int | None = None,
) -> Tensor: ...


@overload
def nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    *,
    padded: Literal[True],
    keep: int | None = None,
) -> tuple[Tensor, Tensor]: ...


def nms(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    *,
    padded: bool = False,
    keep: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Keeps the best of boxes that overlap, and says which these are.

    The box with the largest score stays, and those whose IoU with it is more than the threshold go;
    then the best of those that are left stays, and so on. The answer is exactly that of
    ``torchvision.ops.nms`` on the CPU, without a comparison of every pair: boxes that stay are
    filed by size and place, and each box looks only where one that suppresses it can be.

    Args:
        boxes (Tensor[N, 4]): ``(x1, y1, x2, y2)`` in pixels. float16, bfloat16 (computed in
            float32), float32 or float64 (computed as they are), under autocast too. Integers of
            any dtype, which torchvision refuses, are computed in float64, which holds them all
            below 2^53 (for int64 the host waits for the device to know that they are). Quantized
            ones of one scale, which no IoU depends on, are computed from their integers, of 8 bits
            in float32 as torchvision does; those of several scales are dequantized.
        scores (Tensor[N]): of any dtype that boxes may have. Of equal scores the lower index goes
            first; a NaN goes before all numbers, as in :func:`torch.sort`.
        iou_threshold: in [0, 1]; compared as a double, and only a larger IoU suppresses.
        padded: whether to return a tensor whose size does not depend on the boxes. Then the host
            never waits for a GPU, and the call can be captured in a CUDA graph.
        keep: boxes that stay, at most: the best ones; below 2^31 with ``padded``. None for all.

    Returns:
        Tensor[K], int64: indices of the boxes that stay, by falling score. No boxes give an empty
        one. A degenerate box (without width or height, inside out, or with NaN or infinite
        coordinates) overlaps nothing, and so always stays. Not differentiable.

        With ``padded``, ``(indices, count)``: int64 ``[keep]`` (``[N]`` if ``keep`` is None), where
        -1 fills what is left behind the boxes that stay, and their number, int64 ``[]``.

    Raises:
        TypeError: a tensor is of bool or complex numbers, sparse or nested, or ``iou_threshold``
            or ``keep`` no number.
        ValueError: wrong shapes (a RuntimeError, too, as torchvision's), different devices,
            ``iou_threshold`` outside of [0, 1], ``keep`` out of its range, or integers of 2^53 or
            more.
        RuntimeError: meta tensors without ``padded``, as with any operator whose output's size
            depends on data.

    On devices without a kernel (all but the CPU and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import nms
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [20.0, 0, 30, 10]])
        >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5)
        tensor([1, 2])
        >>> nms(boxes, torch.tensor([0.8, 0.9, 0.7]), 0.5, padded=True)
        (tensor([ 1,  2, -1]), tensor(2))
    """
    if _are_integers_elsewhere(boxes, scores):
        return _on_cpu(nms, boxes, scores, iou_threshold, padded=padded, keep=keep)
    boxes, scores = _checked(boxes, scores, iou_threshold)
    if keep is not None:
        keep = check_most("keep", keep, padded=padded)
    if not padded and keep is None:
        result: Tensor = torch.ops.s3fd.nms(boxes, scores, float(iou_threshold))
        return result
    most = boxes.shape[0] if keep is None else keep
    if not padded:
        most = min(most, boxes.shape[0])
    indices, count = torch.ops.s3fd.nms_padded(boxes, scores, float(iou_threshold), most)
    return (indices, count) if padded else indices[indices >= 0]


def batched_nms(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    """Suppresses within groups (classes, images, levels): boxes of different groups never meet.

    What ``torchvision.ops.batched_nms`` is for, without its shift of coordinates, which rounds.

    Args:
        boxes (Tensor[N, 4]): as for :func:`nms`.
        scores (Tensor[N]): as for :func:`nms`.
        groups (Tensor[N]): the group of each box; any numbers, of any integer dtype.
        iou_threshold: as for :func:`nms`.

    Returns:
        Tensor[K], int64: indices of all boxes that stay in their groups, by falling score, of equal
        scores the lower index first. Not differentiable.

    Raises:
        TypeError, ValueError, RuntimeError: as :func:`nms`; or ``groups`` is not ``[N]`` integers.

    Example:
        >>> import torch
        >>> from s3fd.ops import batched_nms
        >>> boxes = torch.tensor([[0.0, 0, 10, 10]] * 3)
        >>> batched_nms(boxes, torch.tensor([0.7, 0.9, 0.8]), torch.tensor([1, 2, 2]), 0.5)
        tensor([1, 0])
    """
    if _are_integers_elsewhere(boxes, scores):
        return _on_cpu(batched_nms, boxes, scores, groups, iou_threshold)
    boxes, scores = _checked(boxes, scores, iou_threshold)
    groups = check_indices("groups", groups)
    check_tensor("groups", groups, (boxes.shape[0],), dtype=torch.int64)
    check_device("groups", groups, "boxes", boxes.device)
    result: Tensor = torch.ops.s3fd.batched_nms(boxes, scores, groups, float(iou_threshold))
    return result


def _are_integers_elsewhere(boxes: Tensor, scores: Tensor) -> bool:
    """Whether one of them has integers, and both are on a device without kernels."""
    if is_checked_by_kernel(boxes, scores):
        return False
    if not isinstance(boxes, Tensor) or not isinstance(scores, Tensor):
        return False
    if boxes.is_cpu or boxes.is_cuda or boxes.is_meta:
        return False
    if boxes.is_floating_point() and scores.is_floating_point():
        return False
    check_device("scores", scores, "boxes", boxes.device)
    return True


def _on_cpu(
    function: Callable[..., _Answer], boxes: Tensor, *others: Any, **options: Any
) -> _Answer:
    """Answers on the CPU: such a device may lack the float64 that integers become."""
    moved = _registration.moved
    answer: _Answer = moved(function(*moved((boxes, *others), "cpu"), **options), boxes.device)
    return answer


def _checked(boxes: Tensor, scores: Tensor, iou_threshold: float) -> tuple[Tensor, Tensor]:
    """Boxes and scores without their history, in floating point."""
    boxes, scores = _in_floating_point("boxes", boxes), _in_floating_point("scores", scores)
    check_scored_boxes(boxes, scores, iou_threshold)
    return boxes.detach(), scores.detach()


def _in_floating_point(name: str, tensor: Tensor) -> Tensor:
    """Integers and quantized numbers in a dtype that is exact for their order and differences."""
    if not isinstance(tensor, Tensor) or tensor.is_floating_point():
        return tensor
    if tensor.is_quantized:
        if tensor.qscheme() != torch.per_tensor_affine:
            return tensor.dequantize()
        integers = tensor.int_repr()
        return integers.double() if integers.dtype == torch.int32 else integers.float()
    if tensor.dtype == torch.bool or tensor.dtype.is_complex:
        return tensor
    exact = tensor.double()
    if tensor.dtype.itemsize == 8 and not bool((exact.abs() < _TWO_53).all()):
        raise ValueError(
            f"{name}: expected integers that float64 holds exactly, less than 2^53, got larger "
            "ones; subtract what they have in common, or divide them"
        )
    return exact


@_registration.fake("s3fd::nms")
def _fake(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


@_registration.fake("s3fd::nms_padded")
def _fake_padded(
    boxes: Tensor, scores: Tensor, iou_threshold: float, keep: int
) -> tuple[Tensor, Tensor]:
    return boxes.new_empty(keep, dtype=torch.int64), boxes.new_empty((), dtype=torch.int64)


@_registration.fake("s3fd::batched_nms")
def _fake_batched(boxes: Tensor, scores: Tensor, groups: Tensor, iou_threshold: float) -> Tensor:
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)
