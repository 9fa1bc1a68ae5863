"""What is built where: the choice of GPUs by CMake, and of photos by make."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="stands in for tools with shell scripts"),
    pytest.mark.skipif(shutil.which("cmake", path=TOOLS) is None, reason="needs CMake"),
]

NVCC_12_6 = "50 60 70 75 80 86 87 89 90"
NVCC_12_8 = f"{NVCC_12_6} 100 101 120"
NVCC_13 = "75 80 86 87 88 89 90 100 103 110 120 121"


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a shell script that is found on the PATH before the tool of its name."""

    def write(name: str, script: str) -> Path:
        tool = tmp_path / "bin" / name
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        return tool

    return write


def configure(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Lets CMake configure a build, with the stand-ins of ``tmp_path`` before all other tools."""
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{TOOLS}"}
    for name in ("CUDACXX", "CUDAARCHS", "CUDA_HOME", "CUDA_PATH"):
        environment.pop(name, None)
    command = ["cmake", "-S", ROOT, "-B", tmp_path / "build", "-G", "Ninja", *options]
    return subprocess.run(
        [*command, f"-DPython_EXECUTABLE={sys.executable}"],
        env=environment,
        capture_output=True,
        text=True,
    )


def architectures(tmp_path: Path, function: str, *arguments: str) -> str:
    """What a function of cmake/cuda_architectures.cmake answers."""
    script = tmp_path / "script.cmake"
    values = " ".join(f'"{argument.replace(" ", ";")}"' for argument in arguments)
    script.write_text(
        f"include({ROOT}/cmake/cuda_architectures.cmake)\n"
        f'{function}(result {values})\nmessage(STATUS "${{result}}")\n'
    )
    command = ["cmake", "-P", script]
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{TOOLS}"}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return answer.stdout.removeprefix("-- ").strip().replace(";", " ")


@pytest.mark.parametrize(
    ("gpus", "nvcc", "compiled"),
    [
        ("90", NVCC_13, "90-real"),
        ("89 75", NVCC_13, "89-real 75-real"),
        ("120", NVCC_12_6, "90-virtual"),
        ("103", NVCC_12_8, "100-virtual"),
        ("130", NVCC_13, "120-virtual"),
        ("120 130", NVCC_12_6, "90-virtual"),
    ],
)
def test_a_gpu_gets_a_binary_or_the_ptx_of_the_newest_one_that_nvcc_knows(
    tmp_path, gpus, nvcc, compiled
):
    assert architectures(tmp_path, "s3fd_architectures", gpus, nvcc) == compiled


@pytest.mark.parametrize(
    ("nvcc", "compiled"),
    [
        (NVCC_12_6, "75-real 80-real 86-real 90"),
        (NVCC_12_8, "75-real 80-real 86-real 90-real 100-real 120"),
        (NVCC_13, "75-real 80-real 86-real 90-real 100-real 110-real 120"),
    ],
)
def test_all_gpus_are_those_that_nvcc_knows_and_the_last_gets_ptx_too(tmp_path, nvcc, compiled):
    assert architectures(tmp_path, "s3fd_all_architectures", nvcc) == compiled


def test_the_gpus_here_are_those_of_nvidia_smi_that_the_kernels_run_on(tmp_path, stand_in):
    stand_in("nvidia-smi", "printf '9.0\\n12.0\\n9.0\\n6.1\\n'")
    assert architectures(tmp_path, "s3fd_gpus_here") == "90 120"
    stand_in("nvidia-smi", "echo 'NVIDIA-SMI has failed.'; exit 9")
    assert architectures(tmp_path, "s3fd_gpus_here") == ""


def test_nvcc_without_a_gpu_builds_no_cuda_kernels_and_says_so(tmp_path, stand_in):
    stand_in("nvcc", "exit 1")
    stand_in("nvidia-smi", "exit 9")
    done = configure(tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "s3fd: no CUDA kernels: no GPU was found (S3FD_CUDA=ON builds them for all)" in done.stdout
    )
    assert "Warning" not in done.stderr


def test_an_nvcc_that_can_not_be_used_is_a_warning_with_its_own_words(tmp_path, stand_in):
    version = "Cuda compilation tools, release 12.4, V12.4.131"
    script = f"[ $1 = --version ] && echo '{version}' && exit"
    nvcc = stand_in("nvcc", f"{script}\necho 'unsupported GNU version!' >&2; exit 1")
    stand_in("nvidia-smi", "echo 9.0")
    done = configure(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "CMake Warning" in done.stderr
    assert f"no CUDA kernels: {nvcc} does not work" in " ".join(done.stderr.split())
    assert "unsupported GNU version!" in done.stderr


@pytest.mark.parametrize(
    ("version", "reason"), [("release 11.8, V11.8.89", "11.8.89"), ("?", "no nvcc that can be run")]
)
def test_kernels_that_are_asked_for_and_can_not_be_built_are_an_error(
    tmp_path, stand_in, version, reason
):
    stand_in("nvcc", f"[ $1 = --version ] && echo '{version}'")
    done = configure(tmp_path, "-DS3FD_CUDA=ON")
    assert done.returncode != 0
    text = " ".join(done.stderr.split())
    assert "S3FD_CUDA=ON, but" in text
    assert reason in text
    assert "CUDACXX" in text
    assert "S3FD_CUDA=OFF" in text


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("photo", "given"),
    [
        ("x.jpg", ["x.jpg"]),
        ("my photo.jpg", ["my photo.jpg"]),
        ("a$b.jpg", ["a$b.jpg"]),
        ("it's.jpg", ["it's.jpg"]),
        ("x.jpg 'my photo.jpg'", ["x.jpg", "my photo.jpg"]),
        ("a$b.jpg x.jpg folder/*.jpg", ["a$b.jpg", "x.jpg", "folder/*.jpg"]),
    ],
)
@pytest.mark.parametrize("where", ["argument", "environment"])
def test_make_detect_hands_on_photos_as_they_are_named(tmp_path, stand_in, photo, given, where):
    stand_in("s3fd", 'for name in "$@"; do echo "$name"; done')
    for name in ("x.jpg", "my photo.jpg", "a$b.jpg", "it's.jpg"):
        (tmp_path / name).touch()
    command = ["make", "-f", ROOT / "Makefile", "-o", ".venv/s3fd.stamp", "detect", "BIN=bin"]
    # As by hand: the make that may have started the tests hands its own options on.
    inherited = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PHOTO")
    environment = {name: text for name, text in os.environ.items() if name not in inherited}
    if where == "argument":
        command.append(f"PHOTO={photo}")
    else:
        environment["PHOTO"] = photo
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["detect", "--out", "detected", "--", *given]
