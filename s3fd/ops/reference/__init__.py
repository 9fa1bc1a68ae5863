"""The operators in plain, readable PyTorch: specification, test oracle, benchmark baseline.

Each has the name of the public function in :mod:`s3fd.ops` and takes its arguments; the padded form
of `nms` is a twin of its own. None needs the compiled library.
"""

from s3fd.ops.reference.anchor_grid import anchors as anchors
from s3fd.ops.reference.box_coding import decode_boxes as decode_boxes
from s3fd.ops.reference.box_coding import encode_boxes as encode_boxes
from s3fd.ops.reference.decode_detections import decode_detections as decode_detections
from s3fd.ops.reference.l2_normalize import l2_normalize as l2_normalize
from s3fd.ops.reference.match_anchors import match_anchors as match_anchors
from s3fd.ops.reference.max_out_background import max_out_background as max_out_background
from s3fd.ops.reference.multibox_loss import multibox_loss as multibox_loss
from s3fd.ops.reference.nms import batched_nms as batched_nms
from s3fd.ops.reference.nms import nms as nms
from s3fd.ops.reference.nms import nms_padded as nms_padded
from s3fd.ops.reference.soft_nms import soft_nms as soft_nms
from s3fd.ops.reference.vote_boxes import vote_boxes as vote_boxes
