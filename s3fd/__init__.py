"""S3FD: a scale-invariant face detector, and fused detection operators for PyTorch.

``import s3fd`` is cheap: what it exports is imported at first use.

>>> import s3fd
>>> s3fd.__version__
'0.1.0'
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from s3fd._lazy import import_at_first_use

if TYPE_CHECKING:
    from s3fd.detections import Detections
    from s3fd.detector import FaceDetector

__version__ = "0.1.0"

__all__ = ["Detections", "FaceDetector", "__version__"]

if find_spec("s3fd._C") is None:  # a source folder, found before what is installed
    from s3fd import _libraries

    __path__ += _libraries.built_from_the_same(Path(__file__).parent, sys.path)

__getattr__, __dir__ = import_at_first_use(
    __name__, {"Detections": "s3fd.detections", "FaceDetector": "s3fd.detector"}
)
