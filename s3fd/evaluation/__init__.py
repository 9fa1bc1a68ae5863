"""How good a detector is: average precision on annotated photos."""

from s3fd.evaluation.average_precision import (
    OperatingPoint,
    PrecisionRecall,
    average_precision,
)
from s3fd.evaluation.matching import match_detections

__all__ = ["OperatingPoint", "PrecisionRecall", "average_precision", "match_detections"]
