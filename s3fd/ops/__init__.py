"""Fused detection operators: C++ behind ``torch.ops.s3fd``, with fake kernels, autograd, autocast.

Importing this package loads the compiled library and raises ImportError where that fails. With the
environment variable ``S3FD_REFERENCE_ONLY=1`` it does not: :mod:`s3fd.ops.reference`, the same
functions in plain PyTorch, can then be used where nothing is compiled, with :class:`AnchorGrid` to
describe a grid to them; no operator can be called.
"""

from s3fd.ops.anchor_grid import AnchorGrid
from s3fd.ops.box_coding import decode_boxes, encode_boxes
from s3fd.ops.max_out_background import max_out_background

__all__ = ["AnchorGrid", "decode_boxes", "encode_boxes", "max_out_background"]
