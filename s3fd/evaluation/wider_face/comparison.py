"""WIDER FACE's evaluation (Yang et al., 2016), as the benchmark's own tool computes it.

The rules, in the order in which they are applied:

1. Scores are stretched to 0 .. 1 by the smallest and the largest one of the whole set.
2. In each image, by falling score, a detection is judged by the face that it overlaps most, areas
   counted in pixels. If the IoU reaches the threshold, and that face counts in the setting, it is
   found by the first detection of it; later ones are false positives. If the face does not count,
   neither does the detection. Below the threshold it is a false positive.
3. An image where no face counts is judged like others: its detections may be false positives. One
   without a single labelled face is left out (the validation set has none).
4. Precision and recall are taken at 1 000 thresholds, 0.999, 0.998, .. 0, over the whole set, and
   the average precision is the area under that curve by VOC's rule.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.evaluation.average_precision import voc_average_precision
from s3fd.evaluation.matching import check_detections, check_iou_threshold
from s3fd.evaluation.pixel_overlaps import PixelOverlaps, pixel_overlaps
from s3fd.evaluation.wider_face.ground_truth import WiderFaceGroundTruth
from s3fd.messages import shown

THRESHOLDS = 1000
IOU_THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, .. 0.95, over which COCO takes the mean; WIDER FACE itself uses the first."""

# Single precision's smallest positive normal number: the tool starts its search for the largest
# score there, so that a set of negative scores is stretched to less than 1.
_LEAST_MAXIMUM = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class WiderFaceCurve:
    """Precision and recall in one setting.

    Attributes:
        setting: ``"easy"``, ``"medium"`` or ``"hard"``.
        faces: number of faces that count.
        precision: float64 ``[1000]``, by falling threshold; NaN where nothing is detected yet.
        recall: float64 ``[1000]``, rising; NaN where no face counts.
    """

    setting: str
    faces: int
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def average_precision(self) -> float:
        """Area under the curve; NaN where no face counts, 0 where nothing was detected."""
        return math.nan if self.faces == 0 else voc_average_precision(self.recall, self.precision)


@dataclass(frozen=True, eq=False)
class WiderFaceResult:
    """Detections on the images of WIDER FACE, compared with its faces.

    Attributes:
        ground_truth: what they are compared with.
        overlaps: the face that each detection overlaps most.
    """

    ground_truth: WiderFaceGroundTruth
    overlaps: PixelOverlaps
    _steps: NDArray[np.int64] = field(repr=False)  # [D]: the first threshold that keeps it
    _labelled: NDArray[np.bool_] = field(repr=False)  # [D]: in an image with a face

    def curve(self, setting: str, iou_threshold: float = 0.5) -> WiderFaceCurve:
        """Precision and recall in one setting; the benchmark's own at IoU 0.5.

        Raises:
            TypeError, ValueError: `setting` is none of the ground truth's, or `iou_threshold` no
                number in (0, 1].
        """
        outcome = self._judge(setting, iou_threshold)
        faces = int(self.ground_truth.counted[setting].sum())
        found = self._at_thresholds(outcome > 0)
        kept = self._at_thresholds((outcome >= 0) & self._labelled)
        with np.errstate(invalid="ignore"):
            precision = found / kept
        recall = found / faces if faces else np.full(THRESHOLDS, math.nan)
        return WiderFaceCurve(setting, faces, precision, recall)

    def curves(self, iou_threshold: float = 0.5) -> dict[str, WiderFaceCurve]:
        """`curve` of every setting, by its name."""
        return {name: self.curve(name, iou_threshold) for name in self.ground_truth.counted}

    def matched(self, setting: str, iou_threshold: float = 0.5) -> list[NDArray[np.int64]]:
        """What became of each detection in one setting, whatever its score.

        Returns:
            For each image int64 ``[D_i]``, in the order that the detections came in: index of the
            face that is found, -1 for a false positive, -2 where it counts neither way.

        Raises:
            TypeError, ValueError: as `curve`.
        """
        return self.overlaps.matched(self._judge(setting, iou_threshold))

    def _judge(self, setting: str, iou_threshold: float) -> NDArray[np.int8]:
        check_iou_threshold(iou_threshold)
        counted = self.ground_truth.counted
        if setting not in counted:
            raise ValueError(f"setting: expected one of {', '.join(counted)}, got {shown(setting)}")
        return self.overlaps.judge(counted[setting], iou_threshold)

    def _at_thresholds(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many of the chosen detections each threshold keeps."""
        steps = self._steps[chosen]
        return np.cumsum(np.bincount(steps, minlength=THRESHOLDS + 1)[:THRESHOLDS])


def evaluate_wider_face(
    ground_truth: WiderFaceGroundTruth,
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    threads: int | None = None,
) -> WiderFaceResult:
    """Compares detections with WIDER FACE's ground truth.

    Args:
        ground_truth: see `read_wider_face`.
        detections: for each of its images, in its order, boxes ``[D_i, 4]``, ``(x1, y1, x2, y2)``,
            and scores ``[D_i]``, in any order; nothing is rounded to single precision. Equal scores
            keep their order.
        threads: None for as many as there are processors to run on.

    Warns:
        UserWarning: all scores are equal. The benchmark's tool divides by their range, and finds
            nothing; so does this.

    Raises:
        TypeError, ValueError: the detections are not as described; the message names image and row.
    """
    if len(detections) != len(ground_truth.images):
        raise ValueError(
            f"detections: expected one pair for each of {len(ground_truth.images)} images, "
            f"got {len(detections)}"
        )
    boxes, scores = [], []
    for name, pair in zip(ground_truth.images, detections, strict=True):
        image_boxes, image_scores = check_detections(f"detections of {name}", pair)
        if not np.isfinite(image_scores).all():
            raise ValueError(f"detections of {name}: expected finite scores")
        boxes.append(image_boxes)
        scores.append(image_scores)
    overlaps = pixel_overlaps(
        boxes, scores, ground_truth.boxes, ground_truth.splits, threads=threads
    )
    labelled = np.diff(ground_truth.splits) > 0  # [B]
    steps = _first_thresholds(overlaps.scores)
    return WiderFaceResult(
        ground_truth, overlaps, steps, np.repeat(labelled, np.diff(overlaps.splits))
    )


def _first_thresholds(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each score, stretched, the first of the thresholds that keeps it; 1 000 for none."""
    if len(scores) == 0:
        return np.empty(0, np.int64)
    low, high = scores.min(), max(scores.max(), _LEAST_MAXIMUM)
    if low == high:
        warnings.warn(
            f"detections: all scores are {low:g}, so that no threshold separates them; WIDER "
            "FACE's tool finds nothing then",
            stacklevel=3,
        )
        return np.full(len(scores), THRESHOLDS)
    thresholds = 1 - np.arange(1, THRESHOLDS + 1) / THRESHOLDS
    stretched = (scores - low) / (high - low)
    steps: NDArray[np.int64] = np.searchsorted(-thresholds, -stretched)
    return steps
