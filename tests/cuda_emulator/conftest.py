"""Builds the CUDA kernels for the CPU, and starts kernels by name."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDERS = ("forward", "reverse", "random:1")


@pytest.fixture(scope="session")
def build_emulator() -> Callable[..., Path]:
    """Builds the emulator: ``_C.so``, the operators, and ``_faults.so``."""
    return _build


@pytest.fixture(scope="session")
def emulator_folder() -> Path:
    return _build("")


def _build(sanitizers: str, *targets: str) -> Path:
    """The folder with the emulator built with ``sanitizers``: what has changed, and no more."""
    if sys.platform != "linux":
        pytest.skip("the CUDA emulator needs Linux")
    folder = ROOT / "build" / "cuda_emulator" / (sanitizers.replace(",", "_") or "plain")
    tools = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if shutil.which("cmake", path=tools["PATH"]) is None:
        pytest.skip("the CUDA emulator is built with CMake, which is not installed")
    configure = ["cmake", "-S", ROOT / "tests" / "cuda_emulator", "-B", folder, "-G", "Ninja"]
    options = [f"-DPython_EXECUTABLE={sys.executable}", f"-DS3FD_SANITIZE={sanitizers}"]
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
        error = self._library.s3fd_emulator_start(kernel.encode(), memory, grid, block)
        if error is not None:
            raise RuntimeError(error.decode())
        return list(memory)


@pytest.fixture
def emulator(emulator_folder: Path) -> Emulator:
    emulator = Emulator(emulator_folder)
    emulator.set_order("forward")
    emulator.reset_counts()
    return emulator


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest) -> str:
    """In which order the threads of a kernel run."""
    return str(request.param)


@pytest.fixture
def ordered_emulator(order: str, emulator: Emulator) -> Emulator:
    emulator.set_order(order)
    return emulator


@pytest.fixture(scope="session")
def emulated_python(emulator_folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python on a copy of the package whose operators are the emulated CUDA kernels."""
    stage = emulator_folder / "stage"
    shutil.rmtree(stage, ignore_errors=True)
    shutil.copytree(
        ROOT / "s3fd", stage / "s3fd", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    shutil.copy(emulator_folder / "_C.so", stage / "s3fd")
    shutil.copy(Path(__file__).with_name("host_calls.py"), stage)
    # An editable install puts its own finder before PYTHONPATH, and would find the other package.
    (stage / "sitecustomize.py").write_text(
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if 'ScikitBuild' not in type(f).__name__]\n"
    )

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "PYTHONPATH": str(stage), **environment}
        variables.setdefault("S3FD_SHARED", str(ROOT.parent / "shared"))
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=stage, env=variables, capture_output=True, text=True)

    return run
