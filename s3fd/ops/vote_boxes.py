"""Box voting: how S3FD merges the detections of several scales of one image."""

from __future__ import annotations

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import check_scored_boxes, explain_weights

_WHY = "they weigh the boxes"


def vote_boxes(
    boxes: Tensor,
    scores: Tensor,
    iou_threshold: float,
    *,
    keep_single: bool = True,
) -> tuple[Tensor, Tensor]:
    """Merges overlapping boxes into their score-weighted mean, where NMS would drop all but one.

    The test-time merge of S3FD (arXiv 1708.05237; its authors' ``bbox_vote``), after Gidaris and
    Komodakis (arXiv 1505.01749, section 5): detections of one face at several scales and flips
    agree on a better box than any of them is.

    Again and again the box of highest score that is left is taken out together with all boxes that
    are left, that overlap it, and whose IoU with it is at least ``iou_threshold``. They become one
    box: the mean of their coordinates, weighted by their scores, with the highest of their scores.

    Of equal scores the lower index comes first. IoU is computed in float32, without fused
    multiply-add, and compared with the threshold in double. A degenerate box (without width or
    height, inside out, with NaN or infinite coordinates, or with an area that float32 cannot hold)
    overlaps nothing and stays alone, also at a threshold of 0.

    Args:
        boxes (Tensor[N, 4]): ``(x1, y1, x2, y2)`` in pixels, any floating-point dtype. No integers:
            a mean of them is none, and what comes out has the dtype of what goes in.
        scores (Tensor[N]): finite and at least 0, such as probabilities: they are the weights.
        iou_threshold: least IoU with the best box that joins it, in [0, 1]; never enough is an
            IoU of 0, of boxes that do not overlap. The authors take 0.3.
        keep_single: whether boxes that no other joins stay, as they are. The authors' script drops
            them (False): what only one of many scales has seen is rarely a face.

    Returns:
        tuple[Tensor[M, 4], Tensor[M]]: the merged boxes and their scores, by falling score, in the
        dtypes of the arguments. Means are computed in float64 and rounded once; where all scores
        of a group are 0 the first box stands for it. Nothing in gives nothing out. No gradient.

    Raises:
        TypeError: an argument is not of the kind above.
        ValueError: a shape or a device does not fit, ``iou_threshold`` is not in [0, 1], or a score
            is negative, NaN or infinite.
        RuntimeError: meta tensors, as with any operator whose output's size depends on data.

    On devices without a kernel (all but the CPU and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import vote_boxes
        >>> boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 12, 8], [50, 50, 60, 60]])
        >>> scores = torch.tensor([0.25, 0.75, 0.5])
        >>> vote_boxes(boxes, scores, 0.3)
        (tensor([[ 0.,  0., 11.,  8.],
                [50., 50., 60., 60.]]), tensor([0.7500, 0.5000]))
    """
    check_scored_boxes(boxes, scores, iou_threshold)
    try:
        result: tuple[Tensor, Tensor] = torch.ops.s3fd.vote_boxes(
            boxes.detach(), scores.detach(), float(iou_threshold), bool(keep_single)
        )
    except RuntimeError:
        explain_weights("scores", scores, _WHY)
        raise
    return result


@_registration.fake("s3fd::vote_boxes")
def _fake(
    boxes: Tensor, scores: Tensor, iou_threshold: float, keep_single: bool
) -> tuple[Tensor, Tensor]:
    merged = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((merged, 4)), scores.new_empty((merged,))
