"""S3FD: a scale-invariant face detector, and fused detection operators for PyTorch.

``import s3fd`` is cheap: what it exports is imported at first use.

>>> import s3fd
>>> s3fd.__version__
'0.1.0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3fd.detections import Detections as Detections
    from s3fd.detector import FaceDetector as FaceDetector

__version__ = "0.1.0"

_HOMES = {"Detections": "s3fd.detections", "FaceDetector": "s3fd.detector"}

__all__ = ["Detections", "FaceDetector", "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 's3fd' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
