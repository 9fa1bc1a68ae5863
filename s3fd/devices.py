"""Where networks run: which devices there are, and the one that a user means."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import cache
from typing import TypeAlias

import torch

from s3fd._extension import no_cuda_reason
from s3fd.messages import shown

Device: TypeAlias = str | torch.device | None
"""``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, or None for the default."""


def available_devices() -> list[str]:
    """The names of all devices here, such as ``["cpu", "cuda:0"]``."""
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def resolve_device(device: Device) -> torch.device:
    """The device of this name, or the default: CUDA where there is a GPU, and the CPU elsewhere.

    A GPU without CUDA kernels of this package is not taken by default, which a warning says: its
    first detection would be an error.

    Raises:
        ValueError: there is no such device here; the message says why and lists those there are.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')
    """
    available = available_devices()
    if device is None:
        return torch.device("cuda" if "cuda:0" in available and _has_kernels() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        text = f"device: expected one of {available}, got {shown(device)}"
        if isinstance(device, torch.dtype):
            text += "; a detector is given its precision where it is made: precision='float16'"
        raise ValueError(text) from None
    if resolved.type == "cuda" and not resolved.index and "cuda:0" not in available:
        raise ValueError(f"device: {resolved} can't be used: {why_no_cuda()}; use 'cpu'")
    kinds = {torch.device(name).type for name in available}
    if str(resolved) in available or (resolved.type in kinds and not resolved.index):
        # Of kinds other than CUDA there is one device, whether one calls it 0 or not.
        return resolved if resolved.type == "cuda" else torch.device(resolved.type)
    raise ValueError(f"device: expected one of {available}, got {str(resolved)!r}")


def _has_kernels() -> bool:
    reason = no_cuda_reason()
    if reason is not None:
        warnings.warn(
            f"the CPU is used and not the GPU, since s3fd has no CUDA kernels here: {reason}. "
            "Install it again where nvcc of torch's CUDA version is on the PATH, or name the "
            "device: 'cpu'",
            stacklevel=3,
        )
    return reason is None


def why_no_cuda() -> str:
    """The reason, where `available_devices` lists no CUDA device."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    return f"torch {torch.__version__} finds no NVIDIA GPU, or no driver that fits"


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 there: not emulated."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Older versions of torch can't tell what a CPU has.
    capabilities: Callable[[], dict[str, object]] = getattr(torch.cpu, "get_capabilities", dict)
    there = capabilities() if device.type == "cpu" else {}
    return bool(there.get("avx512_bf16") or there.get("amx_bf16"))


@cache
def compute_alone_in_forks() -> None:
    """Has processes that are forked from now on compute with one thread.

    OpenMP waits for ever there for the threads of before, which their parent alone has.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))
