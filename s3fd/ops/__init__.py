"""Fused detection operators: C++ behind ``torch.ops.s3fd``, with fake kernels, autograd, autocast.

Importing this package loads the compiled library and raises ImportError where that fails. With the
environment variable ``S3FD_REFERENCE_ONLY=1`` it does not: :mod:`s3fd.ops.reference`, the same
functions in plain PyTorch, can then be used where nothing is compiled, with :class:`AnchorGrid` to
describe a grid to them; no operator can be called.
"""

from s3fd.ops.anchor_grid import AnchorGrid
from s3fd.ops.box_coding import decode_boxes, encode_boxes
from s3fd.ops.decode_detections import decode_detections
from s3fd.ops.l2_normalize import l2_normalize
from s3fd.ops.match_anchors import match_anchors
from s3fd.ops.max_out_background import max_out_background
from s3fd.ops.multibox_loss import multibox_loss
from s3fd.ops.nms import batched_nms, nms
from s3fd.ops.vote_boxes import vote_boxes

__all__ = [
    "AnchorGrid",
    "batched_nms",
    "decode_boxes",
    "decode_detections",
    "encode_boxes",
    "l2_normalize",
    "match_anchors",
    "max_out_background",
    "multibox_loss",
    "nms",
    "vote_boxes",
]
