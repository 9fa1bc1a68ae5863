"""The operators in plain, readable PyTorch: specification, test oracle, benchmark baseline.

Each has the name and the signature of the public function in :mod:`s3fd.ops`. None needs the
compiled library.
"""

from s3fd.ops.reference.max_out_background import max_out_background

__all__ = ["max_out_background"]
