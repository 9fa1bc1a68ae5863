"""What each operator registers from Python besides its fake kernel and its backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch


def compute_in_float32(operator: str) -> None:
    """Under autocast, casts the floating-point inputs of ``operator`` to float32."""
    for device_type in ("cpu", "cuda"):
        torch.library.register_autocast(operator, device_type, torch.float32)


def run_elsewhere(operator: str, twin: Callable[..., Any]) -> None:
    """Runs ``operator`` through its PyTorch twin on every device that has no kernel of its own."""
    torch.library.impl(operator, "CompositeExplicitAutograd", twin)


def refuse_double_backward(operator: str) -> None:
    """Makes the backward of the backward operator ``operator`` an error that names it."""

    def refuse(ctx: Any, *gradients: Any) -> NoReturn:
        raise RuntimeError(
            f"{operator} has no derivative of its own: gradients of gradients are not supported "
            "through this operator. Use its twin in s3fd.ops.reference for them."
        )

    torch.library.register_autograd(operator, refuse)
