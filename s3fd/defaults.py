"""Default settings of detection: for `FaceDetector` and the command line alike."""

SCORE_THRESHOLD = 0.7  # where precision and recall of `light` balance best on its val split
IOU_THRESHOLD = 0.3
MAX_SIZE = 1024
BATCH_SIZE = 8
MAX_PIXELS = 3_721_806  # 0x7FFFFFFF / 577: what Caffe, and so the paper's authors, could take
