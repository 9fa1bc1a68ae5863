"""The training loss of SSD and S3FD, with hard negative mining."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import (
    ShapeError,
    check_boxes_of_batch,
    check_device,
    check_indices,
    check_number,
    check_tensor,
    check_variances,
    describe,
    explain,
    is_checked_by_kernel,
)
from s3fd.ops._ragged import join, sizes_of
from s3fd.ops._transforms import has_tangent, is_transformed
from s3fd.ops.reference.multibox_loss import (
    Targets,
    classes_of_anchors,
    kept_per_positive,
    own_class_against_others,
)
from s3fd.ops.reference.multibox_loss import multibox_loss as _twin
from s3fd.ops.reference.multibox_loss import multibox_loss_backward as _twin_backward


def multibox_loss(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    matched: Tensor,
    *,
    negative_ratio: float = 3,
    variances: tuple[float, float] = (0.1, 0.2),
    labels: Sequence[Tensor] | None = None,
    normalize_by: Literal["kept", "positives"] = "kept",
) -> tuple[Tensor, Tensor]:
    """Classification and box loss of a batch, with the hardest backgrounds only.

    Nearly all anchors are background. SSD (arXiv 1512.02325, section 2.2) and S3FD (arXiv
    1708.05237, section 3.4) keep the positives of each image and, for each of them,
    ``negative_ratio`` backgrounds of the same image: those with the largest loss.

    - ``class_loss``: cross-entropy of the two logits, summed over all kept anchors of the batch
      and divided by their number.
    - ``box_loss``: smooth L1 (beta 1) between ``deltas`` and the encoded boxes, the four
      coordinates added, summed over the positives and divided by their number.

    The paper's total is ``class_loss + 4 * box_loss``. SSD divides both sums by the number of
    positives, as torchvision does: ``normalize_by="positives"``.

    With ``labels`` there are several classes: the cross-entropy is that of a softmax over
    background and classes, and the backgrounds of largest cross-entropy are mined. It is brought
    to two logits by PyTorch, those of the anchor's own class and of all others together, so that
    the rest is the same operator.

    Of backgrounds with equal losses the lower index is kept. The loss of a background,
    ``log(1 + exp(face - background))``, grows with that difference of logits; the differences are
    what is compared (in float32), so that no rounding of exp or log makes a tie. NaN counts as the
    largest loss and so comes out in ``class_loss``. Mining is per image: one without positives
    keeps nothing; one with fewer backgrounds than wanted keeps them all. Without a positive in the
    batch, or without images or anchors, both losses are 0 and all gradients 0.

    Args:
        logits (Tensor[B, A, 2]): background and face, any floating-point dtype; with ``labels``
            ``[B, A, 1 + C]``, background and classes.
        deltas (Tensor[B, A, 4]): predicted offsets ``(dx, dy, dw, dh)``, see
            :func:`s3fd.ops.encode_boxes`.
        anchors (Tensor[A, 4]): ``(x1, y1, x2, y2)`` in pixels.
        boxes (list of Tensor[G_i, 4]): the boxes of each image in pixels, as they were matched.
        matched (Tensor[B, A]): int64 of :func:`s3fd.ops.match_anchors`: index of the anchor's box,
            -1 background, -2 ignored: neither positive nor mined.
        negative_ratio: backgrounds for each positive of an image, at least 0; the product is
            rounded down. ``math.inf`` keeps all backgrounds of images with a positive.
        variances: what the box code divides centre offsets and log sizes by.
        labels (list of Tensor[G_i]): the class of each box, integers from 0 to ``C - 1``, the
            background not counted, as :func:`s3fd.ops.decode_detections` returns them. None for
            faces and background.
        normalize_by: what the class loss is divided by: the number of anchors that are ``"kept"``,
            or that of the ``"positives"`` among them.

    Returns:
        tuple[Tensor, Tensor]: ``class_loss`` and ``box_loss``, two scalars, differentiable in
        ``logits`` and ``deltas``. They are computed and returned in float32, also for half
        precision and under autocast; in float64 for float64 ``logits`` and ``deltas``.

    Raises:
        TypeError: an argument is not of the kind above.
        ValueError: a shape, a device or a number does not fit, or ``matched`` names a box that an
            image does not have. On CUDA nobody waits for ``matched``: such a box stops the kernel
            with a message, and is an error wherever the device is next waited for.

    Differentiable once. On CUDA neither the losses nor their gradients wait for the device. The
    order of all sums is fixed: the same input gives the same numbers on the same kind of device.
    On devices without a kernel (all but the CPU and CUDA) it runs on the CPU, on copies.

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
    check_number("negative_ratio", negative_ratio, minimum=0)
    check_variances(variances)
    if normalize_by not in ("kept", "positives"):
        raise ValueError(
            f"normalize_by: expected 'kept' or 'positives', got {reprlib.repr(normalize_by)}"
        )
    if labels is not None:
        _check(logits, deltas, anchors, boxes, matched, "1 + C")
        labels = _checked_labels(labels, boxes, logits)
        if _can_look(matched) and not is_transformed(logits, deltas):
            _check_indices(matched, [len(b) for b in boxes])
        logits = own_class_against_others(logits, classes_of_anchors(matched, labels))
    try:
        if not is_checked_by_kernel(logits, deltas, anchors, matched, *boxes):
            _check(logits, deltas, anchors, boxes, matched)
        if is_transformed(logits, deltas):
            _check(logits, deltas, anchors, boxes, matched)
            return _transformed(
                logits, deltas, anchors, boxes, matched, negative_ratio, variances, normalize_by
            )
        dtype = _compute_dtype(deltas.dtype)
        rows, splits = join(boxes, dtype, anchors.device)
        class_loss, box_loss, _, counts = _call(
            logits,
            deltas,
            _without_history(anchors, dtype),
            rows,
            splits,
            matched,
            float(negative_ratio),
            float(variances[0]),
            float(variances[1]),
            needs_gradient=logits.requires_grad or deltas.requires_grad,
        )
    except Exception:
        explain(_check, logits, deltas, anchors, boxes, matched)
        explain(_check_indices, matched, [len(b) for b in boxes])
        raise
    if normalize_by == "positives":
        class_loss = class_loss * kept_per_positive(counts[0], counts[1], class_loss)
    return class_loss, box_loss


def _check(
    logits: object,
    deltas: object,
    anchors: object,
    boxes: object,
    matched: object,
    classes: int | str = 2,
) -> None:
    logits = check_tensor("logits", logits, ("B", "A", classes))
    batch, num_anchors = logits.shape[:2]
    tensors = {
        "deltas": check_tensor("deltas", deltas, (batch, num_anchors, 4)),
        "anchors": check_tensor("anchors", anchors, (num_anchors, 4)),
        "matched": check_tensor("matched", matched, (batch, num_anchors), dtype=torch.int64),
    }
    for index, of_image in enumerate(check_boxes_of_batch("boxes", boxes, batch)):
        tensors[f"boxes[{index}]"] = of_image
    for name, tensor in tensors.items():
        check_device(name, tensor, "logits", logits.device)


def _without_history(anchors: Tensor, dtype: torch.dtype) -> Tensor:
    if not anchors.is_floating_point():
        raise TypeError("expected floating-point anchors")
    if anchors.requires_grad:
        anchors = anchors.detach()
    return anchors if anchors.dtype == dtype else anchors.to(dtype)


def _checked_labels(labels: object, boxes: Sequence[Tensor], logits: Tensor) -> list[Tensor]:
    """The labels of each image's boxes as int64. Their values are looked at on the CPU alone."""
    expected = "labels: expected a list with one tensor [G_i] of integers for each image"
    if not isinstance(labels, Sequence) or isinstance(labels, str):
        raise TypeError(f"{expected}, got {describe(labels)}")
    if len(labels) != len(boxes):
        raise ValueError(f"{expected}: {len(boxes)} images, got {len(labels)} tensors")
    classes = logits.shape[2] - 1
    if classes < 0:
        raise ShapeError(
            "logits: expected at least one channel with labels, that of the background, got "
            f"{describe(logits)}"
        )
    checked = []
    for index, (of_image, of_boxes) in enumerate(zip(labels, boxes, strict=True)):
        name = f"labels[{index}]"
        numbers = check_indices(name, of_image)
        check_tensor(name, numbers, (of_boxes.shape[0],), dtype=torch.int64)
        check_device(name, numbers, "logits", logits.device)
        outside = (numbers < 0) | (numbers >= classes)
        if _can_look(numbers) and bool(outside.any()):
            raise ValueError(
                f"{name}: expected classes from 0 to {classes - 1}, as logits are "
                f"{describe(logits)}, the background first, got {int(numbers[outside][0])}"
            )
        checked.append(numbers)
    return checked


def _can_look(numbers: Tensor) -> bool:
    """Whether their values are known at once: not on a GPU, nor to the compiler."""
    return numbers.device.type == "cpu" and not torch.compiler.is_compiling()


def _transformed(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: Sequence[Tensor],
    matched: Tensor,
    negative_ratio: float,
    variances: tuple[float, float],
    normalize_by: Literal["kept", "positives"],
) -> tuple[Tensor, Tensor]:
    anchors, boxes = anchors.detach(), [b.detach() for b in boxes]
    try:
        return _twin(
            logits,
            deltas,
            anchors,
            boxes,
            matched,
            negative_ratio=negative_ratio,
            variances=variances,
            normalize_by=normalize_by,
        )
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        raise RuntimeError(
            "multibox_loss: torch.func.vmap can't run over it, as mining keeps another number of "
            "anchors of each sample; pass all samples as one batch, or loop over them"
        ) from error


def _compute_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _check_indices(matched: Tensor, num_boxes: Sequence[int]) -> None:
    if matched.numel() == 0:
        return
    highest, lowest = matched.amax(dim=1).tolist(), matched.amin(dim=1).tolist()
    for image, (high, low) in enumerate(zip(highest, lowest, strict=True)):
        if high >= num_boxes[image] or low < -2:
            wrong = high if low >= -2 else low
            raise ValueError(
                f"matched[{image}]: expected -2, -1 or an index of the {num_boxes[image]} boxes "
                f"of this image, got {wrong}; pass the same boxes as to match_anchors"
            )


@_registration.fake("s3fd::multibox_loss")
def _fake(logits: Tensor, deltas: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        logits.new_empty((), dtype=_compute_dtype(logits.dtype)),
        deltas.new_empty((), dtype=_compute_dtype(deltas.dtype)),
        logits.new_empty(logits.shape[:2], dtype=torch.uint8),
        logits.new_empty(2, dtype=torch.int64),
    )


@_registration.fake("s3fd::multibox_loss_backward")
def _fake_backward(
    class_gradient: Tensor, box_gradient: Tensor, logits: Tensor, deltas: Tensor, *others: Any
) -> tuple[Tensor, Tensor]:
    return logits.new_empty(logits.shape), deltas.new_empty(deltas.shape)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, kept, counts = output
    ctx.mark_non_differentiable(kept, counts)
    logits, deltas, anchors, boxes, ctx.splits, matched, _, *ctx.variances = inputs
    ctx.save_for_backward(logits, deltas, anchors, boxes, matched, kept, counts)


def _backward(
    ctx: Any, class_gradient: Tensor, box_gradient: Tensor, *others: Any
) -> tuple[Tensor | None, ...]:
    first, last = ctx.saved_tensors[:4], ctx.saved_tensors[4:]
    arguments = (class_gradient, box_gradient, *first, ctx.splits, *last, *ctx.variances)
    if has_tangent(class_gradient, box_gradient):
        gradients = _backward_twin(*arguments)
    else:
        gradients = torch.ops.s3fd.multibox_loss_backward(*arguments)
    return (*gradients, *(None for _ in range(7)))


def _backward_twin(
    class_gradient: Tensor, box_gradient: Tensor, logits: Tensor, deltas: Tensor, *others: Any
) -> tuple[Tensor, Tensor]:
    anchors, boxes, splits, matched, kept, _, centre, size = others
    targets = Targets(anchors, boxes.split(sizes_of(splits)), matched, kept, (centre, size))
    return _twin_backward(class_gradient, box_gradient, logits, deltas, targets)


_call = _registration.differentiable("s3fd::multibox_loss", _backward, _setup_context)
_registration.refuse_double_backward("s3fd::multibox_loss_backward")
