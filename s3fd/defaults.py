"""Default settings of detection: for `FaceDetector` and the command line alike."""

from typing import Literal, TypeAlias

Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
"""In which a network computes: see `s3fd.FaceDetector`."""

SCORE_THRESHOLD = 0.5  # a score is a probability: shown is what is rather a face than not
IOU_THRESHOLD = 0.3
MAX_SIZE = 1024
BATCH_SIZE = 8
MAX_PIXELS = 3_721_806  # 0x7FFFFFFF / 577: what Caffe, and so the paper's authors, could take
