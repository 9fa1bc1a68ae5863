"""AFW and PASCAL faces: average precision as PASCAL VOC computes it (Everingham et al., 2010).

By falling score, a detection is judged by the face of its image that it overlaps most, areas
counted in pixels. From IoU 0.5 on it has found that face, unless an earlier one has; if the face is
one to ignore ("difficult"), the detection counts neither way. All else are false positives. The
average precision is the area under the curve by VOC's rule since 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.evaluation.average_precision import PrecisionRecall
from s3fd.evaluation.matching import check_detections, check_iou_threshold
from s3fd.evaluation.pascal_voc.ground_truth import PascalVocImage
from s3fd.evaluation.pixel_overlaps import pixel_overlaps


@dataclass(frozen=True, eq=False)
class PascalVocResult:
    """Detections compared with the faces of a set of images.

    Attributes:
        curve: precision, recall and average precision. Detections of one score enter together.
        matched: for each image int64 ``[D_i]``: index of the face that a detection finds, -1 for a
            false positive, -2 where it counts neither way.
        iou_threshold: the least overlap that finds a face.
    """

    curve: PrecisionRecall
    matched: list[NDArray[np.int64]]
    iou_threshold: float


def evaluate_pascal_voc(
    images: Sequence[PascalVocImage],
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    iou_threshold: float = 0.5,
) -> PascalVocResult:
    """Compares detections with faces by PASCAL VOC's rules.

    Args:
        images: see `read_pascal_voc`.
        detections: for each image, boxes ``[D_i, 4]``, ``(x1, y1, x2, y2)`` in VOC's pixels, and
            scores ``[D_i]``, in any order. Equal scores keep their order. `in_voc_pixels` makes
            them of what a `FaceDetector` has found.
        iou_threshold: the least overlap that finds a face, in (0, 1].

    Raises:
        TypeError, ValueError: an argument is not as described; the message names the image.

    Example:
        >>> face = np.array([[10.0, 10.0, 29.0, 29.0]])
        >>> image = PascalVocImage("group", face, np.array([True]))
        >>> evaluate_pascal_voc([image], [(face, [0.9])]).curve.average_precision
        1.0
    """
    check_iou_threshold(iou_threshold)
    if len(detections) != len(images):
        raise ValueError(
            f"detections: expected one pair for each of {len(images)} images, got {len(detections)}"
        )
    checked = [
        check_detections(f"detections of {image.name}", pair)
        for image, pair in zip(images, detections, strict=True)
    ]
    counted = np.concatenate([*(image.counted for image in images), np.empty(0, bool)])
    overlaps = pixel_overlaps(
        [boxes for boxes, _ in checked],
        [scores for _, scores in checked],
        np.concatenate([*(image.boxes for image in images), np.empty((0, 4))]),
        np.cumsum([0, *(len(image.boxes) for image in images)], dtype=np.int64),
    )
    outcome = overlaps.judge(counted, iou_threshold)
    kept = outcome >= 0
    curve = PrecisionRecall.from_outcomes(
        overlaps.scores[kept], outcome[kept] > 0, int(counted.sum())
    )
    matched = overlaps.matched(outcome) if len(images) else []
    return PascalVocResult(curve, matched, iou_threshold)
