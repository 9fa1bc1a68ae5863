"""``s3fd info``: what is installed here, and what it can use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

import s3fd


def info() -> int:
    """Print versions, devices, how the operators were built, and the bundled weights.

    Exit code 1: the compiled operators can't be used.
    """
    rows: list[tuple[str, str | Text]] = [*_versions(), *_devices()]
    broken: ImportError | None = None
    try:
        rows += _build()
    except ImportError as error:
        broken = error
        rows.append(("operators", Text(str(error), style="red")))
    rows += _weights()
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        # Not in a table, which would break a path that is longer than the terminal is wide.
        line = Text.assemble((f"{name:{width}}  ", "bold"), value)
        Console(highlight=False).print(line, soft_wrap=True)
    return 0 if broken is None else 1


def _versions() -> Iterator[tuple[str, str]]:
    import numpy as np
    import PIL
    import torch

    yield "s3fd", f"{s3fd.__version__} in {Path(s3fd.__file__).parent}"
    yield "python", f"{platform.python_version()} on {platform.platform()}"
    yield "torch", torch.__version__
    yield "numpy, pillow", f"{np.__version__}, {PIL.__version__}"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    from s3fd.devices import available_devices, why_no_cuda

    for device in available_devices():
        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else ""
        yield "device", f"{device} {name}".strip()
    if not torch.cuda.is_available():
        yield "no cuda", why_no_cuda()
    yield "threads", f"{torch.get_num_threads()} of {os.cpu_count()} processors"


def _build() -> Iterator[tuple[str, str]]:
    from s3fd._extension import build_info, no_cuda_reason
    from s3fd._libraries import library_path

    built = build_info()
    yield "operators", str(library_path("_C"))
    yield "built with", f"torch {built['torch']}, {built['compiler']}"
    reason = no_cuda_reason()
    if reason is not None:
        yield "CUDA kernels", f"none: {reason}"
    else:
        yield "CUDA kernels", f"{library_path('_C_cuda')}"
        yield "", f"by nvcc {built['nvcc']} for {built['cuda_detail']}"


def _weights() -> Iterator[tuple[str, str]]:
    from safetensors import SafetensorError, safe_open

    files = sorted((Path(s3fd.__file__).parent / "weights").glob("*.safetensors"))
    if not files:
        yield "weights", "none are bundled"
    for path in files:
        yield "weights", f"{path.stem} ({path.stat().st_size / 1e6:.1f} MB)"
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
        except (OSError, SafetensorError) as error:
            metadata = {"can't be read": str(error)}
        for name, value in sorted(metadata.items()):
            yield "", f"{name}: {value}"
