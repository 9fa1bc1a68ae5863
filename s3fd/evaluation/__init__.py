"""How good a detector is: average precision on labelled photos.

`average_precision` compares detections with ground truth, for any detector. `evaluate_detector`
runs one over labelled photos: those of an ``annotations.json`` (`annotated_photos`) or of FDDB
(`read_fddb`).
"""

from s3fd.evaluation.annotations import annotated_photos
from s3fd.evaluation.average_precision import (
    OperatingPoint,
    PrecisionRecall,
    average_precision,
)
from s3fd.evaluation.fddb import FddbPhoto, read_fddb
from s3fd.evaluation.matching import match_detections
from s3fd.evaluation.photos import Evaluation, LabelledPhoto, evaluate_detector

__all__ = [
    "Evaluation",
    "FddbPhoto",
    "LabelledPhoto",
    "OperatingPoint",
    "PrecisionRecall",
    "annotated_photos",
    "average_precision",
    "evaluate_detector",
    "match_detections",
    "read_fddb",
]
