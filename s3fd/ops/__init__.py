"""Fused detection operators: C++ behind ``torch.ops.s3fd``, with fake kernels, autograd, autocast.

Importing this package loads the compiled library and raises ImportError where that fails. With the
environment variable ``S3FD_REFERENCE_ONLY=1`` it does not: then :mod:`s3fd.ops.reference`, the
same functions in plain PyTorch, can be used where nothing is compiled, and nothing else here.
"""

import os

if os.environ.get("S3FD_REFERENCE_ONLY", "0") in ("", "0"):
    from s3fd import _extension

    _extension.load()

    from s3fd.ops.max_out_background import max_out_background

__all__ = ["max_out_background"]
