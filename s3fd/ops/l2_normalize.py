"""The scaled L2 norm over channels that S3FD puts behind its finest levels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s3fd.ops import _registration
from s3fd.ops._checks import check_device, check_tensor, explain, is_checked_by_kernel
from s3fd.ops._transforms import has_tangent, is_transformed
from s3fd.ops.reference.l2_normalize import l2_normalize as _twin
from s3fd.ops.reference.l2_normalize import l2_normalize_backward as _twin_backward


def l2_normalize(features: Tensor, weight: Tensor) -> Tensor:
    """Gives each pixel's channels the norm 1, then scales each channel by a learned weight.

    ``features / (norm + 1e-10) * weight`` with ``norm = sqrt(sum over channels of features**2)``:
    the L2 normalisation of ParseNet (arXiv 1506.04579, section 3.3). S3FD (arXiv 1708.05237,
    section 3.1) applies it to conv3_3, conv4_3 and conv5_3, whose features are far larger than
    those of the deeper levels, with weights that start at 10, 8 and 5. The small number is added
    to the norm, not under the root, as in the published networks.

    Args:
        features (Tensor[B, C, H, W]): any floating-point dtype, in any memory layout.
        weight (Tensor[C]): any floating-point dtype.

    Returns:
        Tensor[B, C, H, W]: in the dtype of ``features``, under autocast too. It is computed in
        float32, or in float64 for float64 ``features``. channels_last if the channels of
        ``features`` are adjacent in memory, contiguous otherwise. Differentiable once, in both
        arguments; the same gradient whatever the number of threads. Features whose squares float32
        can't hold (from about 1e19 on) make a norm of infinity, and so an output of 0.
        A pixel whose channels are all 0 stays 0; its gradient is ``weight * 1e10`` times that of
        the output: finite but in float16, and 0 behind a ReLU. NaN and infinity make their pixel
        NaN. An empty map gives an empty map.

    Raises:
        TypeError: an argument is no floating-point tensor.
        ValueError: a shape does not fit, or the two are on different devices.

    On devices without a kernel (all but the CPU and CUDA) it runs on the CPU, on copies.

    Example:
        >>> import torch
        >>> from s3fd.ops import l2_normalize
        >>> features = torch.tensor([2.0, 2.0, 2.0, 2.0]).view(1, 4, 1, 1)
        >>> l2_normalize(features, torch.tensor([10.0, 10.0, 8.0, 8.0])).flatten()
        tensor([5., 5., 4., 4.])
    """
    if not is_checked_by_kernel(features, weight) or is_transformed(features, weight):
        _check(features, weight)
        if is_transformed(features, weight):
            return _twin(features, weight)
    try:
        compute = torch.float64 if features.dtype == torch.float64 else torch.float32
        if weight.dtype != compute and weight.is_floating_point():
            weight = weight.to(compute)
        result: Tensor = _call(
            features, weight, needs_gradient=features.requires_grad or weight.requires_grad
        )
    except Exception:
        explain(_check, features, weight)
        raise
    return result


def _check(features: object, weight: object) -> None:
    features = check_tensor("features", features, ("B", "C", "H", "W"))
    weight = check_tensor("weight", weight, (features.shape[1],))
    check_device("weight", weight, "features", features.device)


@_registration.fake("s3fd::l2_normalize")
def _fake(features: Tensor, weight: Tensor) -> Tensor:
    return _registration.empty_in_format_of(features)


@_registration.fake("s3fd::l2_normalize_backward")
def _fake_backward(gradient: Tensor, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    of_features = _registration.empty_in_format_of(features)
    return of_features, weight.new_empty(weight.shape)


def _setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    if has_tangent(gradient):
        return _twin_backward(gradient, *ctx.saved_tensors)
    result: tuple[Tensor, Tensor] = torch.ops.s3fd.l2_normalize_backward(
        gradient, *ctx.saved_tensors
    )
    return result


_call = _registration.differentiable("s3fd::l2_normalize", _backward, _setup_context)
_registration.refuse_double_backward("s3fd::l2_normalize_backward")
