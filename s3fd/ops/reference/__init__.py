"""The operators in plain, readable PyTorch: specification, test oracle, benchmark baseline.

Each has the name and the signature of the public function in :mod:`s3fd.ops`. None needs the
compiled library.
"""

from s3fd.ops.reference.anchor_grid import anchors
from s3fd.ops.reference.box_coding import decode_boxes, encode_boxes
from s3fd.ops.reference.match_anchors import match_anchors
from s3fd.ops.reference.max_out_background import max_out_background
from s3fd.ops.reference.multibox_loss import multibox_loss

__all__ = [
    "anchors",
    "decode_boxes",
    "encode_boxes",
    "match_anchors",
    "max_out_background",
    "multibox_loss",
]
