"""Loads the compiled operators, and registers with torch what they have in Python.

Every operator has a fake kernel, and those with a gradient a formula for autograd.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor

from s3fd import _extension

_Function = TypeVar("_Function", bound=Callable[..., Any])

_extension.load()


def fake(operator: str) -> Callable[[_Function], _Function]:
    """Decorates the fake kernel of ``operator``: shapes, dtypes and strides without data."""

    def register(function: _Function) -> _Function:
        torch.library.register_fake(operator, function)
        return function

    return register


def refuse_double_backward(operator: str) -> None:
    """Makes the backward of the backward operator ``operator`` an error that names it."""

    def refuse(ctx: Any, *gradients: Any) -> NoReturn:
        raise RuntimeError(
            f"{operator} has no derivative of its own: gradients of gradients are not supported "
            "through this operator. Use its twin in s3fd.ops.reference for them."
        )

    torch.library.register_autograd(operator, refuse)


def compute_in_float32(operator: str) -> None:
    """Under autocast, casts the floating-point inputs of ``operator`` to float32.

    For coordinates, of which half precision has too few. All other operators read and write half
    precision as it is and compute in float32, so that autocast has nothing to do for them.
    """
    for device_type in ("cpu", "cuda"):
        torch.library.register_autocast(operator, device_type, torch.float32)


def run_elsewhere(operator: str, twin: Callable[..., Any]) -> None:
    """Runs ``operator`` through its PyTorch twin on devices that s3fd has no kernels for at all.

    CUDA is not one of them: without its kernels it is an error that says what to do, as a twin that
    steps in silently would be mistaken for them.
    """
    torch.library.impl(operator, "CompositeExplicitAutograd", twin)
    if not _extension.has_cuda_kernels():
        torch.library.impl(operator, "CUDA", _refuse_cuda(operator))


def _refuse_cuda(operator: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise RuntimeError(f"{operator}: {_extension.why_no_cuda_kernels()}")

    return refuse


def empty_in_format_of(like: Tensor, channels: int) -> Tensor:
    """For fake kernels, ``[B, channels, H, W]`` as the kernels of maps make their output.

    channels_last if the channels of ``like`` are adjacent in memory, contiguous otherwise.
    """
    format_ = torch.channels_last if like.stride(1) == 1 else torch.contiguous_format
    batch, _, height, width = like.shape
    return torch.empty(
        (batch, channels, height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=format_,
    )
