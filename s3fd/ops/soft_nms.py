"""Soft non-maximum suppression: overlapping boxes lose score instead of being dropped."""

from __future__ import annotations

import reprlib
from typing import Literal, get_args

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import check_number, check_scored_boxes, explain_weights

Decay = Literal["gaussian", "linear"]

_WHY = "they are decayed by factors"


def soft_nms(
    boxes: Tensor,
    scores: Tensor,
    *,
    decay: Decay = "gaussian",
    sigma: float = 0.5,
    iou_threshold: float = 0.3,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Lets scores fall by the overlap with better boxes, where NMS would drop what overlaps.

    Soft-NMS of Bodla et al. (arXiv 1704.04503): two faces that overlap much are both found, the one
    behind with a lower score. Again and again the box of highest score that is left comes out, and
    the scores of all that are left are multiplied by a factor of their IoU with it:

    - ``"gaussian"``: ``exp(-iou^2 / sigma)`` (equation 3);
    - ``"linear"``: ``1 - iou`` where the IoU is at least ``iou_threshold``, else 1 (equation 2).

    A box is dropped as soon as its score is less than ``score_threshold``, before anything has come
    out, too.

    Of equal scores, as they are when one has to come out, the lower index does. IoU and factors are
    computed in float32, without fused multiply-add, and IoU is compared with the threshold in
    double; scores fall in float64 and are rounded once, when they come out. A degenerate box
    (without width or height, inside out, with NaN or infinite coordinates, or with an area that
    float32 cannot hold) overlaps nothing: neither its score nor those of others fall.

    Args:
        boxes (Tensor[N, 4]): ``(x1, y1, x2, y2)`` in pixels, any floating-point dtype.
        scores (Tensor[N]): finite and at least 0, such as probabilities; any floating-point dtype.
        decay: ``"gaussian"`` or ``"linear"``.
        sigma: of the Gaussian, at least 1e-6: the smaller, the more scores fall. 0.5 is the
            authors'.
        iou_threshold: least IoU with a better box that lets a score fall linearly, in [0, 1].
            Nothing to the Gaussian.
        score_threshold: least score of what comes out, at least 0; compared as a double.

    Returns:
        tuple[Tensor[K], Tensor[K]]: int64 indices of the boxes in the order in which they come out,
        and the scores that they had then, which never rise, in the dtype of ``scores``. Nothing in
        gives nothing out. No gradient.

    Raises:
        TypeError: an argument is not of the kind above.
        ValueError: a shape or a device does not fit, a number is out of its range, ``decay`` is
            something else, or a score is negative, NaN or infinite.
        RuntimeError: meta tensors, as with any operator whose output's size depends on data.

    The time grows with N times K, on CUDA in one block: it is meant for what a score threshold or
    `torch.topk` have left of a detector's boxes. For several classes call it for each. On devices
    without a kernel (all but the CPU and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import soft_nms
        >>> boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 4], [50, 50, 60, 60]])
        >>> scores = torch.tensor([0.75, 0.5, 0.625])
        >>> soft_nms(boxes, scores, decay="linear")
        (tensor([0, 2, 1]), tensor([0.7500, 0.6250, 0.2500]))
    """
    check_scored_boxes(boxes, scores, iou_threshold)
    if decay not in get_args(Decay):
        raise ValueError(f"decay: expected 'gaussian' or 'linear', got {reprlib.repr(decay)}")
    check_number("sigma", sigma, minimum=1e-6)
    check_number("score_threshold", score_threshold, minimum=0)
    try:
        result: tuple[Tensor, Tensor] = torch.ops.s3fd.soft_nms(
            boxes.detach(),
            scores.detach(),
            decay == "gaussian",
            float(sigma),
            float(iou_threshold),
            float(score_threshold),
        )
    except RuntimeError:
        explain_weights("scores", scores, _WHY)
        raise
    return result


@_registration.fake("s3fd::soft_nms")
def _fake(boxes: Tensor, scores: Tensor, *_: object) -> tuple[Tensor, Tensor]:
    left = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((left,), dtype=torch.int64), scores.new_empty((left,))
