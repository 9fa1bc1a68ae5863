"""AFW and PASCAL faces: average precision as PASCAL VOC computes it (Everingham et al., 2010)."""

from s3fd.evaluation.pascal_voc.comparison import PascalVocResult, evaluate_pascal_voc
from s3fd.evaluation.pascal_voc.ground_truth import PascalVocImage, read_pascal_voc
from s3fd.evaluation.pascal_voc.predictions import in_voc_pixels, read_pascal_voc_predictions

__all__ = [
    "PascalVocImage",
    "PascalVocResult",
    "evaluate_pascal_voc",
    "in_voc_pixels",
    "read_pascal_voc",
    "read_pascal_voc_predictions",
]
