"""Derivatives that torch takes otherwise than by ``backward()``: forward mode and ``torch.func``.

A compiled operator has a backward and nothing else: ``torch.func`` can't follow it, and forward
mode would take its derivative for zero without a word. Its twin is made of PyTorch's own functions,
whose derivatives torch knows in all forms, so that it is what runs where one of them is asked for.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual


def has_tangent(*tensors: Tensor) -> bool:
    """Whether forward mode follows one of ``tensors``."""
    return any(unpack_dual(tensor).tangent is not None for tensor in tensors)


def is_transformed(*tensors: Tensor) -> bool:
    """Whether forward mode or a transform of ``torch.func`` follows one of ``tensors``.

    A transform within a compiled function is not seen; there torch itself refuses the operator.
    """
    compiling = torch.compiler.is_compiling()
    for tensor in tensors:
        if unpack_dual(tensor).tangent is not None:
            return True
        if not compiling and torch.func.debug_unwrap(tensor) is not tensor:
            return True
    return False
