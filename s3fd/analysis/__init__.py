"""Pictures of S3FD's ideas, from numbers alone: nothing is trained, no face is looked for.

`count_matched_anchors` shows what scale compensation matching does for faces of each scale;
`receptive_fields` compares what each level of a network sees with its anchors.
"""

from s3fd.analysis.faces import ImageFaces, read_faces
from s3fd.analysis.matching import (
    BOTH_STAGES,
    RULES,
    SSD,
    STAGE_ONE,
    MatchedAnchors,
    MatchingRule,
    ScaleBin,
    count_matched_anchors,
)
from s3fd.analysis.receptive_field import (
    Extent,
    Predictions,
    ReceptiveField,
    receptive_fields,
)

__all__ = [
    "BOTH_STAGES",
    "RULES",
    "SSD",
    "STAGE_ONE",
    "Extent",
    "ImageFaces",
    "MatchedAnchors",
    "MatchingRule",
    "Predictions",
    "ReceptiveField",
    "ScaleBin",
    "count_matched_anchors",
    "read_faces",
    "receptive_fields",
]
