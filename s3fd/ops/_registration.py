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

_LIBRARY = torch.library.Library("s3fd", "FRAGMENT")  # what it holds goes with it

_extension.load()


def fake(operator: str) -> Callable[[_Function], _Function]:
    """Decorates the fake kernel of ``operator``: shapes, dtypes and strides without data."""

    def register(function: _Function) -> _Function:
        torch.library.register_fake(operator, function)
        return function

    return register


def autograd(
    operator: str, backward: Callable[..., Any], setup_context: Callable[..., None] | None = None
) -> None:
    """Registers the backward of ``operator``, for operators without keyword arguments or defaults.

    It does what :func:`torch.library.register_autograd` does, in half the time: that one is made
    for operators of any kind, and what it takes for each call is as long as a kernel on a map.
    """
    name = operator.removeprefix("s3fd::")
    overload = getattr(torch.ops.s3fd, name).default

    def redispatch(keys: torch._C.DispatchKeySet, inputs: tuple[Any, ...]) -> Any:
        with torch._C._AutoDispatchBelowAutograd():
            return overload.redispatch(keys & torch._C._after_autograd_keyset, *inputs)

    class Gradient(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs_and_keys: Any) -> Any:
            *inputs, keys = inputs_and_keys
            output = redispatch(keys, tuple(inputs))
            if setup_context is not None:
                setup_context(ctx, tuple(inputs), output)
            return output

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            found = backward(ctx, *gradients)
            return (*found, None) if isinstance(found, tuple) else (found, None)

    apply: Callable[..., Any] = Gradient.apply

    def differentiable(keys: torch._C.DispatchKeySet, *inputs: Any) -> Any:
        if torch._C.is_grad_enabled() and torch._C._any_requires_grad(*inputs):
            return apply(*inputs, keys)
        return redispatch(keys, inputs)

    Gradient.__name__ = Gradient.__qualname__ = f"{name}_gradient"
    _LIBRARY.impl(name, differentiable, "Autograd", with_keyset=True)


def refuse_double_backward(operator: str) -> None:
    """Makes the backward of the backward operator ``operator`` an error that names it."""

    def refuse(ctx: Any, *gradients: Any) -> NoReturn:
        raise RuntimeError(
            f"{operator} has no derivative of its own: gradients of gradients are not supported "
            "through this operator. Use its twin in s3fd.ops.reference for them."
        )

    autograd(operator, refuse)


def compute_in_float32(operator: str) -> None:
    """Under autocast, casts the floating-point inputs of ``operator`` to float32."""
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
