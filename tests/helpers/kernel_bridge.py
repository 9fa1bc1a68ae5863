"""Operators that are called with tensors of the CPU, and run their CUDA kernels.

A plugin of pytest, with which all tests of the operators run on kernels for CUDA, unchanged:

    PYTHONPATH=tests/helpers S3FD_BRIDGE=cuda python -m pytest -p kernel_bridge tests/ops

Every operator's kernel for the CPU is replaced by one that copies the storages of its tensors to
the device, runs the CUDA kernel on tensors of the same strides and offsets there, and copies back
what it returns. S3FD_BRIDGE is ``cuda``, for the GPU, or the path of ``_kernels.so`` of
tests/cuda_emulator, whose device is a CPU.
"""

from __future__ import annotations

import ctypes
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3fd import _extension

#: Operators whose CUDA kernels have been called.
called: set[str] = set()

_library: torch.library.Library | None = None
_is_open = True


class Gpu:
    """The memory of a GPU."""

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise RuntimeError("S3FD_BRIDGE=cuda: torch finds no CUDA device here")
        if not _extension.has_cuda_kernels():
            raise RuntimeError(f"S3FD_BRIDGE=cuda: {_extension.why_no_cuda_kernels()}")

    def copy(self, storage: torch.UntypedStorage) -> torch.UntypedStorage:
        return storage.cuda()

    def empty(self, dtype: torch.dtype) -> Tensor:
        return torch.empty(0, dtype=dtype, device="cuda")

    def forget(self) -> None:
        """Nothing has to be said."""


class Emulated:
    """What the emulator takes for the memory of a GPU."""

    def __init__(self, path: str) -> None:
        torch.ops.load_library(path)
        self.calls = ctypes.CDLL(path)

    def copy(self, storage: torch.UntypedStorage) -> torch.UntypedStorage:
        copied = storage  # where it is so large that hardly any of it can have been touched
        if storage.nbytes() < 2**30:
            copied = torch.empty(storage.nbytes(), dtype=torch.uint8).untyped_storage()
            copied.copy_(storage)
        address = ctypes.c_void_p(copied.data_ptr())
        self.calls.s3fd_emulator_add_array(address, ctypes.c_size_t(copied.nbytes()))
        return copied

    def empty(self, dtype: torch.dtype) -> Tensor:
        return torch.empty(0, dtype=dtype)

    def forget(self) -> None:
        """What was copied is no memory of the device any more."""
        self.calls.s3fd_emulator_forget_arrays()


def install(where: str) -> Gpu | Emulated:
    """Puts the bridge in the place of the kernels for the CPU, once in a process."""
    global _library
    _extension.load()
    device = Gpu() if where == "cuda" else Emulated(where)
    if where != "cuda":
        _extension._has_cuda_kernels = True  # those of the emulator, from here on
    import s3fd.ops  # noqa: F401  # registers what is not C++, before anything is replaced

    _library = torch.library.Library("s3fd", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a kernel that is replaced, as is meant
        forward = [name for name in dir(torch.ops.s3fd) if name.endswith("_forward")]
        for name in (*operators(), *forward):
            bridge = _bridge(name, torch.library.get_kernel(f"s3fd::{name}", "CPU"), device)
            _library.impl(name, bridge, "CPU", with_keyset=True, allow_override=True)
    return device


@contextmanager
def closed() -> Iterator[None]:
    """Operators run their kernels for the CPU."""
    global _is_open
    _is_open = False
    try:
        yield
    finally:
        _is_open = True


def operators() -> list[str]:
    """The names of all operators."""
    schema = Path(__file__).parents[2] / "csrc" / "schema.cpp"
    return re.findall(r'"(\w+)\(', schema.read_text())


def _bridge(name: str, on_cpu: Any, device: Gpu | Emulated) -> Callable[..., Any]:
    def run(keys: Any, *arguments: Any) -> Any:
        if not _is_open:
            return on_cpu.call_boxed(keys, *arguments)
        called.add(name.removesuffix("_forward"))
        copies: dict[int, torch.UntypedStorage] = {}
        try:
            moved = [_moved(argument, device, copies) for argument in arguments]
            on_cuda = torch.library.get_kernel(f"s3fd::{name}", "CUDA")
            return _moved_back(on_cuda.call_boxed(keys, *moved))
        finally:
            device.forget()

    return run


def _moved(argument: Any, device: Gpu | Emulated, copies: dict[int, Any]) -> Any:
    if isinstance(argument, (list, tuple)):
        return [_moved(entry, device, copies) for entry in argument]
    if not isinstance(argument, Tensor) or argument.device.type != "cpu":
        return argument
    storage = argument.untyped_storage()
    if storage.data_ptr() not in copies:
        copies[storage.data_ptr()] = device.copy(storage)
    place = argument.storage_offset(), argument.shape, argument.stride()
    return device.empty(argument.dtype).set_(copies[storage.data_ptr()], *place)


def _moved_back(result: Any) -> Any:
    if isinstance(result, (list, tuple)):
        return type(result)(_moved_back(entry) for entry in result)
    moved = torch.empty_strided(result.shape, result.stride(), dtype=result.dtype)
    return moved.copy_(result)


#: What the bridge leads to, if S3FD_BRIDGE says so.
DEVICE: Any = install(os.environ["S3FD_BRIDGE"]) if os.environ.get("S3FD_BRIDGE") else None
