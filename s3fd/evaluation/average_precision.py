"""Precision, recall and average precision over a set of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.evaluation.matching import IGNORED, check_images, match_checked


class OperatingPoint(NamedTuple):
    """What a detector does at one score threshold.

    Attributes:
        true_positives: detections that found a face.
        false_positives: those that found none.
        recall: share of the faces that are found; NaN where there is none.
        precision: share of the detections that found a face; NaN where there is no detection.
    """

    true_positives: int
    false_positives: int
    recall: float
    precision: float


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """A precision-recall curve: one point for each score at which anything was detected.

    Detections of one score, in whatever images, enter together, since no threshold could separate
    them. So the curve does not depend on the order of images.

    Attributes:
        faces: number of ground truths.
        scores: float64 ``[K]``, falling: point k holds the detections that score this or more.
        true_positives: int64 ``[K]``.
        false_positives: int64 ``[K]``; ignored detections are in neither.
    """

    faces: int
    scores: NDArray[np.float64]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]

    @classmethod
    def from_outcomes(cls, scores: ArrayLike, found: ArrayLike, faces: int) -> PrecisionRecall:
        """The curve of detections of which it is known whether they found a face.

        Args:
            scores: ``[D]``, in any order, without NaN and without ignored detections.
            found: bool ``[D]``; no face is found twice.
            faces: number of ground truths.

        Raises:
            ValueError: the shapes differ, a score is NaN, or more detections found a face than
                there are faces.

        Example:
            >>> curve = PrecisionRecall.from_outcomes([0.9, 0.8, 0.8], [True, False, True], faces=2)
            >>> curve.precision, curve.recall
            (array([1. , 0.66666667]), array([0.5, 1. ]))
        """
        values, is_found = np.asarray(scores, np.float64), np.asarray(found, bool)
        if values.ndim != 1 or values.shape != is_found.shape:
            raise ValueError(
                "scores, found: expected two arrays [D], "
                f"got shapes {list(values.shape)} and {list(is_found.shape)}"
            )
        if np.isnan(values).any():
            raise ValueError(f"scores: score {np.isnan(values).argmax()} is NaN")
        if is_found.sum() > faces:
            raise ValueError(f"found: expected at most {faces}, one a face, got {is_found.sum()}")
        order = np.argsort(-values, kind="stable")
        values, is_found = values[order], is_found[order]
        is_last = np.ones(len(values), dtype=bool)  # of a run of equal scores
        is_last[:-1] = values[:-1] != values[1:]
        last = np.flatnonzero(is_last)  # [K]
        true_positives = np.cumsum(is_found, dtype=np.int64)[last]
        return cls(faces, values[last], true_positives, last + 1 - true_positives)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the detections that found a face, float64 ``[K]``."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the faces that are found, float64 ``[K]``; NaN where there is none."""
        if self.faces == 0:
            return np.full(len(self.scores), math.nan)
        return self.true_positives / self.faces

    @property
    def average_precision(self) -> float:
        """Area under the curve, as PASCAL VOC has computed it since 2010 ("all points").

        Precision at a recall is the largest one at this or any larger recall, and 0 beyond the
        largest recall. NaN if there is not a single ground truth; 0 if nothing was detected.
        """
        if self.faces == 0:
            return math.nan
        # Over counts of faces, which unlike recall are exact.
        return voc_average_precision(self.true_positives, self.precision) / self.faces

    def outcomes(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The score of each detection ``[D]``, falling, and whether it found a face ``[D]``.

        Example:
            >>> PrecisionRecall.from_outcomes([0.8, 0.9], [True, False], faces=2).outcomes()
            (array([0.9, 0.8]), array([False,  True]))
        """
        found = np.diff(self.true_positives, prepend=0)  # [K]
        wrong = np.diff(self.false_positives, prepend=0)  # [K]
        counts = np.stack([found, wrong], axis=1).ravel()  # [2 K]
        kinds = np.tile([True, False], len(found))  # [2 K]
        return np.repeat(self.scores, found + wrong), np.repeat(kinds, counts)

    def at(self, score_threshold: float) -> OperatingPoint:
        """What remains of the detections that score at least this."""
        kept = int(np.searchsorted(-self.scores, -score_threshold, side="right"))
        if kept == 0:
            return OperatingPoint(0, 0, 0.0 if self.faces else math.nan, math.nan)
        point = kept - 1
        return OperatingPoint(
            int(self.true_positives[point]),
            int(self.false_positives[point]),
            float(self.recall[point]),
            float(self.precision[point]),
        )


def voc_average_precision(recall: ArrayLike, precision: ArrayLike) -> float:
    """Area under a precision-recall curve that is given by its points (VOC's "all points" rule).

    Args:
        recall: ``[K]``, rising.
        precision: ``[K]``; NaN, where nothing is detected yet, counts as 0.

    Returns:
        The area, precision at a recall being the largest one at this or any later point, and 0
        beyond the last one. No point gives 0.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> voc_average_precision([0.25, 0.5, 0.5], [1.0, 0.5, 0.25])
        0.375
    """
    recalls, precisions = np.asarray(recall, np.float64), np.asarray(precision, np.float64)
    if recalls.ndim != 1 or recalls.shape != precisions.shape:
        raise ValueError(
            "recall, precision: expected two arrays [K], "
            f"got shapes {list(recalls.shape)} and {list(precisions.shape)}"
        )
    envelope = np.maximum.accumulate(np.nan_to_num(precisions)[::-1])[::-1]
    return float(np.sum(np.diff(recalls, prepend=0) * envelope))


def average_precision(
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    ground_truths: Sequence[ArrayLike],
    *,
    ignore: Sequence[ArrayLike] | None = None,
    iou_threshold: float = 0.5,
) -> PrecisionRecall:
    """Precision, recall and average precision of detections in a set of images.

    Detections are matched as `s3fd.evaluation.match_detections` says, image by image.

    Args:
        detections: for each image, boxes ``[D_i, 4]`` and scores ``[D_i]``, in any order; of a
            `Detections`, what ``.numpy()`` gives.
        ground_truths: for each image, boxes ``[G_i, 4]``.
        ignore: for each image, boxes ``[I_i, 4]``; None for no such boxes.
        iou_threshold: the least overlap with a ground truth that finds it, in (0, 1].

    Returns:
        The curve, with `PrecisionRecall.average_precision`.

    Raises:
        TypeError, ValueError, ImportError: as `match_detections`.

    Example:
        >>> face, other = [10, 10, 30, 30], [50, 10, 70, 30]
        >>> curve = average_precision([([face, [0, 50, 9, 59]], [0.9, 0.8])], [[face, other]])
        >>> curve.average_precision
        0.5
        >>> curve.at(0.5)
        OperatingPoint(true_positives=1, false_positives=1, recall=0.5, precision=0.5)
    """
    images = check_images(detections, ground_truths, ignore)
    matched = np.concatenate([*match_checked(images, iou_threshold), np.empty(0, np.int64)])
    scores = np.concatenate([*images.scores, np.empty(0)])
    counted = matched != IGNORED
    faces = sum(map(len, images.ground_truths))
    return PrecisionRecall.from_outcomes(scores[counted], matched[counted] >= 0, faces)
