"""Under AddressSanitizer the emulator finds accesses out of bounds, in every kind of memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

START = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
library.s3fd_emulator_start.restype = ctypes.c_char_p
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
values = ctypes.memset(libc.malloc(ctypes.c_size_t(4 * 32)), 255, 4 * 32)
error = library.s3fd_emulator_start(sys.argv[2].encode(), ctypes.c_void_p(values), 1, 32)
print("result", error)
"""


@pytest.fixture(scope="module")
def sanitized_folder(build_emulator: Callable[..., Path]) -> Path:
    return build_emulator("address,undefined", "_faults")


def start(folder: Path, kernel: str) -> subprocess.CompletedProcess[str]:
    # The C++ library is loaded with it, so that exceptions are seen.
    libraries = [library_of_compiler(name) for name in ("libasan.so", "libstdc++.so.6")]
    return subprocess.run(
        [sys.executable, "-c", START, folder / "_faults.so", kernel],
        env={**os.environ, "LD_PRELOAD": ":".join(libraries), "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
    )


def library_of_compiler(name: str) -> str:
    command = [os.environ.get("CXX", "c++"), f"-print-file-name={name}"]
    path = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"the compiler has no {name}")
    return path


@pytest.mark.parametrize("kernel", ["beyond shared", "beyond dynamic", "beyond global"])
def test_an_access_out_of_bounds_is_found(sanitized_folder, kernel):
    done = start(sanitized_folder, kernel)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr or "out of bounds" in done.stderr
    assert "faults.cpp" in done.stderr


@pytest.mark.parametrize("kernel", ["reverse", "sum of warp", "uninitialised"])
def test_what_stays_in_bounds_passes(sanitized_folder, kernel):
    done = start(sanitized_folder, kernel)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "result None" in done.stdout


@pytest.mark.parametrize("kernel", ["deadlock", "failed check", "exited lane"])
def test_errors_pass_through_the_sanitizer(sanitized_folder, kernel):
    done = start(sanitized_folder, kernel)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "CUDA emulator" in done.stdout
