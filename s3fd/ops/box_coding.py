"""Boxes as offsets from anchors (SSD's box code), and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import (
    DTYPES,
    ShapeError,
    check_device,
    check_size,
    check_tensor,
    check_variances,
    describe,
    explain,
    is_checked_by_kernel,
)
from s3fd.ops._transforms import has_tangent, is_transformed
from s3fd.ops.reference import box_coding as _twins


def encode_boxes(
    boxes: Tensor, anchors: Tensor, variances: tuple[float, float] = (0.1, 0.2)
) -> Tensor:
    """Encodes boxes as deltas from their anchors: what a detector's head learns to predict.

    With centres ``(cx, cy)``, sizes ``(w, h)`` and the anchor's ``(acx, acy)``, ``(aw, ah)``::

        dx = (cx - acx) / (v0 * aw)    dw = log(w / aw) / v1
        dy = (cy - acy) / (v0 * ah)    dh = log(h / ah) / v1

    as in SSD (arXiv 1512.02325) and all detectors that descend from it.

    Args:
        boxes (Tensor[..., A, 4]): ``(x1, y1, x2, y2)`` in pixels, one for each anchor.
        anchors (Tensor[..., A, 4]): likewise; leading dimensions are broadcast, so that one list
            of anchors serves a batch.
        variances: ``(v0, v1)``, positive.

    Returns:
        Tensor[..., A, 4]: ``(dx, dy, dw, dh)``, without a unit, in the promoted dtype of the
        inputs; float16 and bfloat16 are computed in float32. Differentiable once, with respect to
        boxes and anchors; a row whose gradient is 0, as of padding, passes none on, whatever it
        holds. A box without width or height has the log size -inf, an inside-out one NaN; no box
        gives no delta.

    Raises:
        TypeError: a tensor is not floating point, or ``variances`` no sequence.
        ValueError: shapes that are not ``[..., A, 4]`` or do not broadcast, tensors on different
            devices, variances that are not two positive numbers.

    Under autocast it computes and answers in float32. On devices without a kernel (all but the CPU
    and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import encode_boxes
        >>> anchors = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
        >>> encode_boxes(torch.tensor([[4.0, 0.0, 20.0, 16.0]]), anchors)
        tensor([[2.5000, 0.0000, 0.0000, 0.0000]])
    """
    check_variances(variances)
    boxes, anchors, shape = _broadcast("boxes", boxes, anchors)
    if is_transformed(boxes, anchors):
        return _twins.encode_boxes(boxes, anchors, variances).reshape(shape)
    result: Tensor = _encode(
        boxes,
        anchors,
        float(variances[0]),
        float(variances[1]),
        needs_gradient=boxes.requires_grad or anchors.requires_grad,
    )
    return _in_shape(result, shape)


def decode_boxes(
    deltas: Tensor,
    anchors: Tensor,
    variances: tuple[float, float] = (0.1, 0.2),
    image_size: tuple[int, int] | None = None,
) -> Tensor:
    """Decodes a head's deltas to boxes: the inverse of :func:`encode_boxes`.

    Args:
        deltas (Tensor[..., A, 4]): ``(dx, dy, dw, dh)`` from each anchor, without a unit.
        anchors (Tensor[..., A, 4]): ``(x1, y1, x2, y2)`` in pixels; leading dimensions are
            broadcast, so that one list of anchors serves a batch.
        variances: ``(v0, v1)``, positive: those that the deltas were encoded with.
        image_size: height and width in pixels, to which boxes are clipped; None for no clipping.

    Returns:
        Tensor[..., A, 4]: ``(x1, y1, x2, y2)`` in pixels, in the promoted dtype of the inputs;
        float16 and bfloat16 are computed in float32. Differentiable once, with respect to deltas
        and anchors; no gradient passes where a coordinate was cut off, and none from a row whose
        gradient is 0. Sizes are not bounded: a large ``dw`` gives an infinite box (the whole
        image's width when clipped), NaN gives NaN; no delta gives no box.

    Raises:
        TypeError: a tensor is not floating point, ``variances`` no sequence, ``image_size`` not
            made of integers.
        ValueError: shapes that are not ``[..., A, 4]`` or do not broadcast, tensors on different
            devices, variances that are not two positive numbers, a negative image size.

    Under autocast it computes and answers in float32. On devices without a kernel (all but the CPU
    and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import decode_boxes
        >>> anchors = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
        >>> decode_boxes(torch.tensor([[2.5, 0.0, 0.0, 0.0]]), anchors, image_size=(32, 18))
        tensor([[ 4.,  0., 18., 16.]])
    """
    check_variances(variances)
    size = None if image_size is None else list(check_size("image_size", image_size))
    deltas, anchors, shape = _broadcast("deltas", deltas, anchors)
    if is_transformed(deltas, anchors):
        return _twins.decode_boxes(deltas, anchors, variances, image_size).reshape(shape)
    result: Tensor = _decode(
        deltas,
        anchors,
        float(variances[0]),
        float(variances[1]),
        size,
        needs_gradient=deltas.requires_grad or anchors.requires_grad,
    )
    return _in_shape(result, shape)


def _broadcast(name: str, values: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor, torch.Size]:
    """Both as ``[B, A, 4]`` of one dtype, and the shape that the result shall have."""
    try:
        if not is_checked_by_kernel(values, anchors):
            _check(name, values, anchors)
        shape, dtype = values.shape, values.dtype
        if anchors.shape != shape or anchors.dtype != dtype or dtype not in DTYPES:
            _check(name, values, anchors)
            shape = torch.broadcast_shapes(shape, anchors.shape)
            dtype = torch.promote_types(dtype, anchors.dtype)
        if shape[-1] != 4 or len(shape) < 2 or anchors.device != values.device:
            _check(name, values, anchors)
        if dtype != torch.float64 and _autocasts(values.device.type):
            dtype = torch.float32
    except Exception:
        explain(_check, name, values, anchors)
        raise
    return _flat(values, dtype, shape), _flat(anchors, dtype, shape), shape


def _autocasts(device_type: str) -> bool:
    """Whether a region of autocast is entered; some devices, such as meta, know none."""
    available: bool = torch.amp.is_autocast_available(device_type)
    return available and torch.is_autocast_enabled(device_type)


def _in_shape(rows: Tensor, shape: torch.Size) -> Tensor:
    """The other way around: ``[B, A, 4]`` as the user's shape."""
    if len(shape) == 2:
        return rows.squeeze(0)
    return rows if len(shape) == 3 else rows.reshape(shape)


def _check(name: str, values: object, anchors: object) -> None:
    values = check_tensor(name, values, ("...", "A", 4))
    anchors = check_tensor("anchors", anchors, ("...", "A", 4))
    try:
        if anchors.shape[-2] != values.shape[-2]:
            raise RuntimeError
        torch.broadcast_shapes(values.shape, anchors.shape)
    except RuntimeError:
        raise ShapeError(
            f"anchors: expected one for each row of {name}, {describe(values)}, "
            f"got {describe(anchors)}"
        ) from None
    check_device("anchors", anchors, name, values.device)


def _flat(tensor: Tensor, dtype: torch.dtype, shape: torch.Size) -> Tensor:
    """``tensor`` as ``[B, A, 4]``; what it is already is not asked for, as each view takes time."""
    if tensor.dtype != dtype:
        tensor = tensor.to(dtype)
    if tensor.shape != shape:
        tensor = tensor.expand(shape)
    if len(shape) == 2:
        return tensor.unsqueeze(0)  # takes half as long as a reshape
    return tensor if len(shape) == 3 else tensor.reshape(math.prod(shape[:-2]), *shape[-2:])


def _fake(values: Tensor, *others: Any) -> Tensor:
    """What all of them give: a row for each that they get first, be it a box or a gradient."""
    return values.new_empty(values.shape)


for _name in ("encode_boxes", "decode_boxes"):
    _registration.fake(f"s3fd::{_name}")(_fake)
    _registration.fake(f"s3fd::{_name}_backward")(_fake)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.settings = inputs[2:]


def _encode_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    operator = torch.ops.s3fd.encode_boxes_backward
    return _both_gradients(ctx, gradient, operator, _encode_backward_twin)


def _decode_backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    operator = torch.ops.s3fd.decode_boxes_backward
    return _both_gradients(ctx, gradient, operator, _decode_backward_twin)


def _both_gradients(
    ctx: Any, gradient: Tensor, operator: Callable[..., Tensor], twin: Callable[..., Tensor]
) -> tuple[Tensor | None, ...]:
    """The gradients of the two tensors, as far as they are asked for, and none of the settings."""
    backward = twin if has_tangent(gradient) else operator
    gradients = (
        backward(gradient, *ctx.saved_tensors, *ctx.settings, of_anchors) if needed else None
        for needed, of_anchors in zip(ctx.needs_input_grad, (False, True), strict=False)
    )
    return (*gradients, *(None for _ in ctx.settings))


def _encode_backward_twin(
    gradient: Tensor, boxes: Tensor, anchors: Tensor, centre: float, size: float, of_anchors: bool
) -> Tensor:
    return _twins.encode_boxes_backward(gradient, boxes, anchors, (centre, size), of_anchors)


def _decode_backward_twin(
    gradient: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    centre: float,
    size: float,
    image_size: tuple[int, int] | None,
    of_anchors: bool,
) -> Tensor:
    return _twins.decode_boxes_backward(
        gradient, deltas, anchors, (centre, size), image_size, of_anchors
    )


_encode = _registration.differentiable("s3fd::encode_boxes", _encode_backward, _setup_context)
_decode = _registration.differentiable("s3fd::decode_boxes", _decode_backward, _setup_context)
for _operator in ("s3fd::encode_boxes", "s3fd::decode_boxes"):
    _registration.refuse_double_backward(f"{_operator}_backward")
    _registration.compute_in_float32(_operator)
