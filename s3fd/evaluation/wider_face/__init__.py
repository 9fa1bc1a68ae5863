"""WIDER FACE (Yang et al., 2016), as the benchmark's own tool computes it."""

from s3fd.evaluation.wider_face.comparison import (
    IOU_THRESHOLDS,
    WiderFaceCurve,
    WiderFaceResult,
    evaluate_wider_face,
)
from s3fd.evaluation.wider_face.ground_truth import WiderFaceGroundTruth, read_wider_face
from s3fd.evaluation.wider_face.predictions import (
    WiderFacePredictions,
    read_wider_face_predictions,
)

__all__ = [
    "IOU_THRESHOLDS",
    "WiderFaceCurve",
    "WiderFaceGroundTruth",
    "WiderFacePredictions",
    "WiderFaceResult",
    "evaluate_wider_face",
    "read_wider_face",
    "read_wider_face_predictions",
]
