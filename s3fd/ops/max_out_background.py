"""Max-out background label (S3FD, section 3.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import ShapeError, check_tensor, describe, explain, is_checked_by_kernel
from s3fd.ops._transforms import has_tangent, is_transformed
from s3fd.ops.reference.max_out_background import max_out_background as _twin
from s3fd.ops.reference.max_out_background import max_out_background_backward as _twin_backward


def max_out_background(logits: Tensor) -> Tensor:
    """Takes the strongest of several background logits, so that a face has to beat them all.

    The finest level of S3FD sees so many background anchors that one background logit lets too
    many false faces through. It predicts ``k`` of them (3 in the paper), and the largest stands
    for the background in the softmax: section 3.3 of S3FD (arXiv 1708.05237), an idea of Maxout
    Networks.

    Args:
        logits (Tensor[B, k + 1, H, W]): ``k >= 1`` background logits, then the face's. Floating
            point (float16, bfloat16, float32, float64), in any memory layout.

    Returns:
        Tensor[B, 2, H, W]: background and face, in the dtype of ``logits``; channels_last if
        the channels of ``logits`` are adjacent in memory, contiguous otherwise. Differentiable
        once: the gradient goes to the logit that was taken, of equal ones to the lowest channel.
        A NaN among the backgrounds is their maximum, as :func:`torch.max` has it. An empty map
        gives an empty map.

    Raises:
        TypeError: ``logits`` is no floating-point tensor.
        ValueError: ``logits`` has not four dimensions, or fewer than two channels.

    Autocast changes nothing: the largest logit is one of them. On devices without a kernel (all
    but the CPU and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import max_out_background
        >>> logits = torch.tensor([0.5, 2.0, -1.0, 3.0]).view(1, 4, 1, 1)
        >>> max_out_background(logits).flatten()
        tensor([2., 3.])
    """
    if not is_checked_by_kernel(logits) or is_transformed(logits):
        _check(logits)
        if is_transformed(logits):
            return _twin(logits)
    try:
        result: Tensor = _call(logits, needs_gradient=logits.requires_grad)
    except Exception:
        explain(_check, logits)
        raise
    return result


def _check(logits: object) -> None:
    logits = check_tensor("logits", logits, ("B", "k + 1", "H", "W"))
    if logits.shape[1] < 2:
        raise ShapeError(
            "logits: expected at least two channels, the backgrounds and then the face, "
            f"got {describe(logits)}"
        )


@_registration.fake("s3fd::max_out_background")
def _fake(logits: Tensor) -> Tensor:
    return _registration.empty_in_format_of(logits, 2)


@_registration.fake("s3fd::max_out_background_backward")
def _fake_backward(gradient: Tensor, logits: Tensor) -> Tensor:
    return _registration.empty_in_format_of(logits)


def _setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> Tensor:
    (logits,) = ctx.saved_tensors
    if has_tangent(gradient):
        return _twin_backward(gradient, logits)
    result: Tensor = torch.ops.s3fd.max_out_background_backward(gradient, logits)
    return result


_call = _registration.differentiable("s3fd::max_out_background", _backward, _setup_context)
_registration.refuse_double_backward("s3fd::max_out_background_backward")
