"""How good a detector is: average precision on labelled photos.

`average_precision` compares detections with ground truth, for any detector. `evaluate_detector`
runs one over labelled photos, such as those that `s3fd.data.read_photos` reads, and
`evaluate_detections` takes what it has found there.

The benchmarks as their own tools compute them: `evaluate_wider_face`, `evaluate_fddb`, and
`evaluate_pascal_voc` for AFW and PASCAL faces.
"""

from s3fd.evaluation.average_precision import (
    OperatingPoint,
    PrecisionRecall,
    average_precision,
    voc_average_precision,
)
from s3fd.evaluation.fddb import (
    EllipseRegression,
    FddbPhoto,
    FddbResult,
    RocCurve,
    evaluate_fddb,
    read_fddb,
    read_fddb_predictions,
    regress_ellipses,
)
from s3fd.evaluation.matching import match_detections
from s3fd.evaluation.pascal_voc import (
    PascalVocImage,
    PascalVocResult,
    evaluate_pascal_voc,
    in_voc_pixels,
    read_pascal_voc,
    read_pascal_voc_predictions,
)
from s3fd.evaluation.photos import Evaluation, evaluate_detections, evaluate_detector
from s3fd.evaluation.sizes import average_precision_by_size
from s3fd.evaluation.wider_face import (
    WiderFaceCurve,
    WiderFaceGroundTruth,
    WiderFacePredictions,
    WiderFaceResult,
    evaluate_wider_face,
    read_wider_face,
    read_wider_face_predictions,
)

__all__ = [
    "EllipseRegression",
    "Evaluation",
    "FddbPhoto",
    "FddbResult",
    "OperatingPoint",
    "PascalVocImage",
    "PascalVocResult",
    "PrecisionRecall",
    "RocCurve",
    "WiderFaceCurve",
    "WiderFaceGroundTruth",
    "WiderFacePredictions",
    "WiderFaceResult",
    "average_precision",
    "average_precision_by_size",
    "evaluate_detections",
    "evaluate_detector",
    "evaluate_fddb",
    "evaluate_pascal_voc",
    "evaluate_wider_face",
    "in_voc_pixels",
    "match_detections",
    "read_fddb",
    "read_fddb_predictions",
    "read_pascal_voc",
    "read_pascal_voc_predictions",
    "read_wider_face",
    "read_wider_face_predictions",
    "regress_ellipses",
    "voc_average_precision",
]
