"""Default settings of detection: for `FaceDetector` and the command line alike."""

SCORE_THRESHOLD = 0.5
IOU_THRESHOLD = 0.3
MAX_SIZE = 1024
BATCH_SIZE = 8
