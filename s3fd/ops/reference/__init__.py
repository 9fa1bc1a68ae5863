"""The operators in plain, readable PyTorch: specification, test oracle, benchmark baseline.

Each has the name and the signature of the public function in :mod:`s3fd.ops`. None needs the
compiled library.
"""

from s3fd.ops.reference.anchor_grid import anchors
from s3fd.ops.reference.box_coding import decode_boxes, encode_boxes
from s3fd.ops.reference.decode_detections import decode_detections
from s3fd.ops.reference.l2_normalize import l2_normalize
from s3fd.ops.reference.match_anchors import match_anchors
from s3fd.ops.reference.max_out_background import max_out_background
from s3fd.ops.reference.multibox_loss import multibox_loss
from s3fd.ops.reference.nms import batched_nms, nms
from s3fd.ops.reference.vote_boxes import vote_boxes

__all__ = [
    "anchors",
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
