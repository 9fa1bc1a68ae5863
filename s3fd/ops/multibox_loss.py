"""The training loss of SSD and S3FD, with hard negative mining."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from s3fd.ops import reference
from s3fd.ops._checks import (
    check_boxes_of_batch,
    check_number,
    check_tensor,
    check_variances,
    describe,
)


def multibox_loss(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    matched: Tensor,
    *,
    negative_ratio: float = 3,
    variances: tuple[float, float] = (0.1, 0.2),
) -> tuple[Tensor, Tensor]:
    """Classification and box loss of a batch, with the hardest backgrounds only.

    Nearly all anchors are background. SSD (arXiv 1512.02325, section 2.2) and S3FD (arXiv
    1708.05237, section 3.4) keep the positives of each image and, for each of them,
    ``negative_ratio`` backgrounds of the same image: those with the largest loss.

    - ``class_loss``: cross-entropy of the two logits, summed over all kept anchors of the batch
      and divided by their number.
    - ``box_loss``: smooth L1 (beta 1) between ``deltas`` and the encoded boxes, the four
      coordinates added, summed over the positives and divided by their number.

    The paper's total is ``class_loss + 4 * box_loss``.

    Of backgrounds with equal losses the lower index is kept. The loss of a background,
    ``log(1 + exp(face - background))``, grows with that difference of logits; the differences are
    what is compared (in float32), so that no rounding of exp or log makes a tie. NaN counts as the
    largest loss and so comes out in ``class_loss``. Mining is per image: one without positives
    keeps nothing; one with fewer backgrounds than wanted keeps them all. Without a positive in the
    batch, or without images or anchors, both losses are 0 and all gradients 0.

    Args:
        logits (Tensor[B, A, 2]): background and face, any floating-point dtype.
        deltas (Tensor[B, A, 4]): predicted offsets ``(dx, dy, dw, dh)``, see
            :func:`s3fd.ops.encode_boxes`.
        anchors (Tensor[A, 4]): ``(x1, y1, x2, y2)`` in pixels.
        boxes (list of Tensor[G_i, 4]): the boxes of each image in pixels, as they were matched.
        matched (Tensor[B, A]): int64 of :func:`s3fd.ops.match_anchors`: index of the anchor's box,
            -1 background, -2 ignored: neither positive nor mined.
        negative_ratio: backgrounds for each positive of an image, at least 0; the product is
            rounded down. ``math.inf`` keeps all backgrounds of images with a positive.
        variances: what the box code divides centre offsets and log sizes by.

    Returns:
        tuple[Tensor, Tensor]: ``class_loss`` and ``box_loss``, two scalars, differentiable in
        ``logits`` and ``deltas``. They are computed and returned in float32, also for half
        precision and under autocast; in float64 for float64 ``logits`` and ``deltas``.

    Raises:
        TypeError: an argument is not of the kind above.
        ValueError: a shape, a device or a number does not fit, or ``matched`` names a box that an
            image does not have.

    Example:
        >>> import torch
        >>> from s3fd.ops import match_anchors, multibox_loss
        >>> anchors = torch.tensor([[0.0, 0, 16, 16], [16, 0, 32, 16], [32, 0, 48, 16]])
        >>> boxes = [torch.tensor([[0.0, 0, 16, 16]])]
        >>> matched = match_anchors(anchors, boxes)
        >>> logits, deltas = torch.zeros(1, 3, 2), torch.ones(1, 3, 4)
        >>> multibox_loss(logits, deltas, anchors, boxes, matched)
        (tensor(0.6931), tensor(2.))
    """
    check_tensor("logits", logits, ("B", "A", 2))
    batch, num_anchors = logits.shape[:2]
    check_tensor("deltas", deltas, (batch, num_anchors, 4))
    check_tensor("anchors", anchors, (num_anchors, 4))
    check_boxes_of_batch("boxes", boxes, batch)
    check_tensor("matched", matched, (batch, num_anchors), dtype=torch.int64)
    named = [("deltas", deltas), ("anchors", anchors), ("matched", matched)]
    for name, value in [*named, *((f"boxes[{i}]", b) for i, b in enumerate(boxes))]:
        if value.device != logits.device:
            raise ValueError(
                f"{name}: expected a tensor on {logits.device} like logits, "
                f"got {describe(value)}; move it with .to(logits.device)"
            )
    check_number("negative_ratio", negative_ratio, minimum=0)
    check_variances(variances)
    _check_indices(matched, boxes)
    return reference.multibox_loss(
        logits,
        deltas,
        anchors,
        boxes,
        matched,
        negative_ratio=negative_ratio,
        variances=variances,
    )


def _check_indices(matched: Tensor, boxes: Sequence[Tensor]) -> None:
    if matched.numel() == 0:
        return
    highest, lowest = matched.amax(dim=1).tolist(), matched.amin(dim=1).tolist()
    for image, (high, low) in enumerate(zip(highest, lowest, strict=True)):
        if high >= len(boxes[image]) or low < -2:
            wrong = high if low >= -2 else low
            raise ValueError(
                f"matched[{image}]: expected -2, -1 or an index of the {len(boxes[image])} boxes "
                f"of this image, got {wrong}; pass the same boxes as to match_anchors"
            )
