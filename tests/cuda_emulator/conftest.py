"""Builds the CUDA kernels for the CPU, and starts kernels by name."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ORDERS = ("forward", "reverse", "random:1")


@pytest.fixture(scope="session")
def build_emulator() -> Callable[..., Path]:
    """Builds the emulator: ``_kernels.so``, the operators' kernels, and ``_faults.so``.

    ``kind``: ``plain``; ``watched``, in which every access to memory is; or the sanitizers, such as
    ``address,undefined``, that it is built with.
    """
    return _build


@functools.cache
def _build(kind: str, *targets: str) -> Path:
    """The folder with the emulator: what has changed is built, and no more."""
    if sys.platform != "linux":
        pytest.skip("the CUDA emulator needs Linux")
    folder = ROOT / "build" / "cuda_emulator" / kind.replace(",", "_")
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if shutil.which("cmake", path=tools["PATH"]) is None:
        pytest.skip("the CUDA emulator is built with CMake, which is not installed")
    configure = ["cmake", "-S", ROOT / "tests" / "cuda_emulator", "-B", folder, "-G", "Ninja"]
    options = [f"-DPython_EXECUTABLE={sys.executable}", f"-DS3FD_WATCH={kind == 'watched'}"]
    if kind not in ("plain", "watched"):
        options.append(f"-DS3FD_SANITIZE={kind}")
    compile_ = ["cmake", "--build", folder, *(f"--target={target}" for target in targets)]
    for command in ([*configure, *options], compile_):
        done = subprocess.run(command, env=tools, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return folder


class Emulator:
    """The library of ``faults.cpp``, through ctypes."""

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(str(folder / "_faults.so"))
        self._library.s3fd_emulator_start.restype = ctypes.c_char_p
        self._library.s3fd_emulator_count_of.restype = ctypes.c_int64

    def set_order(self, order: str) -> None:
        self._library.s3fd_emulator_set_order(order.encode())

    def count(self, what: str) -> int:
        return int(self._library.s3fd_emulator_count_of(what.encode()))

    def reset_counts(self) -> None:
        self._library.s3fd_emulator_reset_counts()

    def start(self, kernel: str, values: list[int], *, grid: int = 1, block: int = 32) -> list[int]:
        """Runs a kernel on ``values``, and returns what it made of them; RuntimeError if it fails.

        The order is ``forward`` unless it has been set.
        """
        memory = (ctypes.c_int * len(values))(*values)
        error = self.error(kernel, memory, grid=grid, block=block)
        if error:
            raise RuntimeError(error)
        return list(memory)

    def error(self, kernel: str, memory: Any, *, grid: int = 1, block: int = 32) -> str:
        """Runs a kernel on memory: what is wrong with it, if anything."""
        error = self._library.s3fd_emulator_start(kernel.encode(), memory, grid, block)
        return "" if error is None else str(error.decode())

    def add_array(self, memory: Any, size: int) -> None:
        """Kernels may read so many bytes, and touch no other memory any more."""
        self._library.s3fd_emulator_add_array(memory, ctypes.c_size_t(size))

    def forget_arrays(self) -> None:
        self._library.s3fd_emulator_forget_arrays()


@pytest.fixture
def emulator(build_emulator: Callable[..., Path]) -> Emulator:
    emulator = Emulator(build_emulator("plain", "_faults"))
    emulator.set_order("forward")
    emulator.reset_counts()
    return emulator


@pytest.fixture
def watching_emulator(build_emulator: Callable[..., Path]) -> Emulator:
    return Emulator(build_emulator("watched", "_faults"))


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> str:
    """In which order the threads of a kernel run."""
    return str(request.param)


@pytest.fixture
def ordered_emulator(order: str, emulator: Emulator) -> Emulator:
    emulator.set_order(order)
    return emulator


@pytest.fixture(scope="session")
def emulated_python(
    build_emulator: Callable[..., Path],
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python where ``import kernel_bridge`` makes the operators run emulated kernels."""
    folders = [ROOT / "tests" / "helpers", Path(__file__).parent, *sys.path]

    def run(*arguments: str, kind: str = "plain", **environment: str) -> Any:
        library = build_emulator(kind, "_kernels") / "_kernels.so"
        variables = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if folder),
            "S3FD_BRIDGE": str(library),
            **environment,
        }
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)

    return run
