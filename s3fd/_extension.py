"""Loads the compiled operators, or says why that failed."""

from __future__ import annotations

import ctypes
import json

import torch

from s3fd._libraries import library_path

_loaded = False
_has_cuda_kernels = False


def load() -> None:
    """Loads the operators into ``torch.ops.s3fd``. Does nothing if that has been done.

    Raises:
        ImportError: a library is missing or can't be loaded; the text says which file, why, and
            what to do.
    """
    global _loaded, _has_cuda_kernels
    if _loaded:
        return
    _load_library("_C")
    if no_cuda_reason() is None:
        _load_library("_C_cuda")
        _has_cuda_kernels = True
    _loaded = True


def has_cuda_kernels() -> bool:
    """Whether the operators have kernels for CUDA devices here; after :func:`load`."""
    return _has_cuda_kernels


def why_no_cuda_kernels() -> str:
    """What an operator says of a CUDA tensor that it has no kernel for, and what to do."""
    return (
        f"this installation of s3fd has no CUDA kernels: {no_cuda_reason()}. "
        "Install it again where nvcc of torch's CUDA version is on the PATH or named by CUDACXX "
        "(`pip install --no-build-isolation -C cmake.define.S3FD_CUDA=ON .` says what is missing); "
        "or move the tensors to the CPU; or call the PyTorch twin in s3fd.ops.reference, which "
        "runs on every device"
    )


def no_cuda_reason() -> str | None:
    """Why there are no CUDA kernels, or none that this torch can use; None where there are."""
    torch_cuda = torch.version.cuda
    if torch_cuda is None:
        return f"torch {torch.__version__} is a build without CUDA"
    built = _read_build_info()
    if not library_path("_C_cuda").exists():
        return f"they were not built ({built['cuda_detail']})"
    # A library needs the CUDA runtime of its own major version, and finds the one that torch has.
    if built["nvcc"] and built["nvcc"].split(".")[0] != torch_cuda.split(".")[0]:
        return f"they were built for CUDA {built['nvcc']}, and this torch has CUDA {torch_cuda}"
    return None


def build_info() -> dict[str, str]:
    """What the operators were compiled with.

    ``torch``, ``compiler``; ``cuda``: ON or OFF; ``nvcc``: its release; ``cuda_detail``: what GPUs
    the CUDA kernels are for, or why there are none.

    Raises:
        ImportError: as :func:`load`.
    """
    load()
    return _read_build_info()


def _read_build_info() -> dict[str, str]:
    function = ctypes.CDLL(str(library_path("_C"))).s3fd_build_info
    function.restype = ctypes.c_char_p
    info: dict[str, str] = json.loads(function())
    return info


def _load_library(name: str) -> None:
    path = library_path(name)
    if not path.exists():
        raise ImportError(
            f"s3fd: the compiled operators are missing: {path} does not exist.\n"
            "Install the package so that they are built: `pip install .` in the source folder "
            "(`make develop` for work in the tree itself). Python finds a source folder s3fd in "
            "the current folder before the installed package; it uses the libraries of that one "
            "where they were built from the same sources.\n"
            "The PyTorch twins, s3fd.ops.reference, can be imported without them.",
            name=f"s3fd.{name}",
            path=str(path),
        )
    try:
        torch.ops.load_library(path)
    except OSError as error:
        raise ImportError(
            f"s3fd: the compiled operators can't be loaded: {path}\n"
            f"Why: {error}\n"
            f"They need torch >= 2.10 (this is {torch.__version__}) on the kind of machine that "
            "they were built for. Install the package again here: "
            "`pip install --force-reinstall --no-deps .` in the source folder.",
            name=f"s3fd.{name}",
            path=str(path),
        ) from error
