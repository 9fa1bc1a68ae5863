"""Fused detection operators: C++ behind ``torch.ops.s3fd``, with fake kernels, autograd, autocast.

Importing this package loads the compiled library. Where that fails, each of these names raises an
ImportError that says why and what to do. :mod:`s3fd.ops.reference`, the same functions in plain
PyTorch, and :mod:`s3fd.ops.grid`, which describes a grid to them, need no library.
"""

from typing import TYPE_CHECKING

from s3fd import _extension
from s3fd.ops import reference as reference

try:
    _extension.load()
except ImportError:
    if not TYPE_CHECKING:  # to a type checker any name would be one of ours

        def __getattr__(name: str) -> object:
            if name in __all__:
                _extension.load()  # raises it again
            raise AttributeError(f"module 's3fd.ops' has no attribute {name!r}")

else:
    from s3fd.ops.anchor_grid import AnchorGrid
    from s3fd.ops.box_coding import decode_boxes, encode_boxes
    from s3fd.ops.decode_detections import decode_detections
    from s3fd.ops.l2_normalize import l2_normalize
    from s3fd.ops.match_anchors import match_anchors
    from s3fd.ops.max_out_background import max_out_background
    from s3fd.ops.multibox_loss import multibox_loss
    from s3fd.ops.nms import batched_nms, nms
    from s3fd.ops.soft_nms import soft_nms
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
    "soft_nms",
    "vote_boxes",
]
