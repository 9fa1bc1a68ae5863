"""Loads the compiled operators, and registers with torch what they have in Python.

Every operator has a fake kernel and an answer for devices without a kernel, and those with a
gradient have a formula for autograd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor

from s3fd import _extension

_Function = TypeVar("_Function", bound=Callable[..., Any])

_extension.load()


def fake(operator: str) -> Callable[[_Function], _Function]:
    """Decorates the fake kernel of ``operator``: shapes, dtypes and strides without data.

    With it comes what the operator does on devices that have no kernel of it.
    """

    def register(function: _Function) -> _Function:
        @wraps(function)
        def on_one_device(*arguments: Any) -> Any:
            # Torch comes here for real tensors, too, if one of them is on the meta device.
            _check_one_device(operator, arguments)
            return function(*arguments)

        for name in _with_forward(operator):
            torch.library.register_fake(name, on_one_device)
            torch.library.impl(name, "CompositeExplicitAutograd", _by_cpu(name))
            if not _extension.has_cuda_kernels():
                # Were it answered by the CPU, in silence, that would be mistaken for our kernels.
                torch.library.impl(name, "CUDA", _refuse_cuda(operator))
        return function

    return register


def _with_forward(operator: str) -> list[str]:
    """``operator``, and if it has a gradient the one of the same kernels that has none."""
    forward = f"{operator}_forward"
    return [operator, forward] if hasattr(torch.ops.s3fd, _name(forward)) else [operator]


def _name(operator: str) -> str:
    return operator.removeprefix("s3fd::")


def _check_one_device(operator: str, arguments: Iterable[Any]) -> None:
    if len({tensor.device for tensor in _tensors(arguments)}) > 1:
        raise RuntimeError(f"{operator}: expected all tensors on one device")


def _tensors(arguments: Iterable[Any]) -> Iterator[Tensor]:
    for argument in arguments:
        if isinstance(argument, Tensor):
            yield argument
        elif isinstance(argument, list | tuple):
            yield from _tensors(argument)


def differentiable(
    operator: str, backward: Callable[..., Any], setup_context: Callable[..., None]
) -> Callable[..., Any]:
    """Registers the backward of ``operator``, and returns a function that calls it.

    What torch makes of a registered backward looks up the schema of every argument at each call,
    which takes several times as long as a small operator, and asks Python whether one is needed,
    which takes as long as one. So the function goes around it where a gradient is needed, and calls
    its kernels alone where it is not; a compiler sees the operator itself.
    """
    torch.library.register_autograd(operator, backward, setup_context=setup_context)
    with_gradient = getattr(torch.ops.s3fd, _name(operator)).default
    kernels = getattr(torch.ops.s3fd, f"{_name(operator)}_forward").default

    class WithBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Any:
            output = kernels(*arguments)
            setup_context(ctx, arguments, output)
            return output

    WithBackward.backward = staticmethod(backward)  # type: ignore[method-assign]

    def call(*arguments: Any, needs_gradient: bool) -> Any:
        if torch.compiler.is_compiling():
            return with_gradient(*arguments)
        if needs_gradient and torch.is_grad_enabled():
            return WithBackward.apply(*arguments)  # type: ignore[no-untyped-call]
        return kernels(*arguments)

    return call


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
    for name in _with_forward(operator):
        for device_type in ("cpu", "cuda"):
            torch.library.register_autocast(name, device_type, torch.float32)


def _by_cpu(operator: str) -> Callable[..., Any]:
    """Runs ``operator`` on the CPU for tensors of a device that there are no kernels for.

    Not its twin on that device: MPS lacks float64, in which decisions are taken, and others may
    round float32 in a way of their own.
    """

    def run(*arguments: Any) -> Any:
        _check_one_device(operator, arguments)
        device = next((tensor.device for tensor in _tensors(arguments)), None)
        if device is None or device.type == "cpu":  # sparse or quantized: no kernel takes these
            raise RuntimeError(
                f"{operator}: expected dense tensors of plain numbers; convert others with "
                ".to_dense() or .dequantize()"
            )
        with torch.autocast("cpu", enabled=False):  # that of the device has been here before
            result = getattr(torch.ops.s3fd, _name(operator))(*moved(arguments, "cpu"))
        return moved(result, device)

    return run


def moved(value: Any, device: torch.device | str) -> Any:
    """``value`` with its tensors on ``device``, without their history; lists become tuples."""
    if isinstance(value, list | tuple):
        return tuple(moved(entry, device) for entry in value)
    return value.detach().to(device) if isinstance(value, Tensor) else value


def _refuse_cuda(operator: str) -> Callable[..., NoReturn]:
    def refuse(*arguments: Any, **options: Any) -> NoReturn:
        raise RuntimeError(f"{operator}: {_extension.why_no_cuda_kernels()}")

    return refuse


def empty_in_format_of(like: Tensor, channels: int | None = None) -> Tensor:
    """For fake kernels, ``[B, channels, H, W]`` as the kernels of maps make their output.

    As many channels as ``like`` has, if no number is given. channels_last if those of ``like`` are
    adjacent in memory, contiguous otherwise.

    Raises:
        ValueError: ``like`` has no four dimensions, which a raw operator may be called with.
    """
    if like.dim() != 4:
        raise ValueError(f"expected maps [B, C, H, W], got {list(like.shape)}")
    format_ = torch.channels_last if like.stride(1) == 1 else torch.contiguous_format
    batch, own, height, width = like.shape
    return torch.empty(
        (batch, own if channels is None else channels, height, width),
        dtype=like.dtype,
        device=like.device,
        memory_format=format_,
    )
