"""Matching as the tools of WIDER FACE and PASCAL VOC do it: each detection has one chance.

A detection is judged by the one ground truth that it overlaps most, free or taken. Areas count
pixels: a box from 3 to 5 is three pixels wide, and the IoU has a ``+ 1`` in every width and height.
`s3fd.evaluation.match_detections` has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s3fd.evaluation.matching import FALSE_POSITIVE, IGNORED
from s3fd.pipeline import available_threads

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PixelOverlaps:
    """The detections of a set of images, each with the face that it overlaps most.

    Rows are grouped by image, and in an image by falling score, the earlier one of equal scores
    first.

    Attributes:
        scores: float64 ``[D]``.
        best: int64 ``[D]``, index in the image of the face, the lower one of equal IoUs; -1 in an
            image without faces.
        overlap: float64 ``[D]``, their IoU.
        order: int64 ``[D]``, where a row stood before sorting.
        splits: int64 ``[B + 1]``; the detections of image i are rows ``splits[i]`` to
            ``splits[i + 1]``.
        face_splits: int64 ``[B + 1]``, the same for faces.
    """

    scores: FloatArray
    best: NDArray[np.int64]
    overlap: FloatArray
    order: NDArray[np.int64]
    splits: NDArray[np.int64]
    face_splits: NDArray[np.int64]

    def judge(self, counted: BoolArray, iou_threshold: float) -> NDArray[np.int8]:
        """What becomes of each detection.

        Args:
            counted: bool ``[G]``, of all faces: those that count.
            iou_threshold: the least overlap that finds a face.

        Returns:
            int8 ``[D]``. 1: the first to reach the threshold with its best face; 0: a false
            positive; -1: its best face, reached, is one that does not count.
        """
        from s3fd import _arrays

        return _arrays.judge_detections(
            self.best,
            self.overlap,
            self.splits,
            counted,
            self.face_splits,
            iou_threshold=float(iou_threshold),
        )

    def matched(self, outcome: NDArray[np.int8]) -> list[NDArray[np.int64]]:
        """The answer of `judge` image by image, in the order that the detections came in.

        Returns:
            For each image int64 ``[D_i]``: index of the face that is found, -1 for a false
            positive, -2 where it counts neither way; as `s3fd.evaluation.match_detections`.
        """
        by_row = np.where(outcome > 0, self.best, FALSE_POSITIVE)
        by_row[outcome < 0] = IGNORED
        matched = np.empty_like(by_row)
        matched[self.order] = by_row
        return np.split(matched, self.splits[1:-1])


def pixel_overlaps(
    boxes: Sequence[FloatArray],
    scores: Sequence[FloatArray],
    faces: FloatArray,
    face_splits: NDArray[np.int64],
    threads: int | None = None,
) -> PixelOverlaps:
    """Finds the face that each detection overlaps most.

    Args:
        boxes: for each image ``[D_i, 4]``, ``(x1, y1, x2, y2)``.
        scores: for each image ``[D_i]``.
        faces: ``[G, 4]``, those of all images.
        face_splits: ``[B + 1]``; the faces of image i are rows ``face_splits[i]`` to
            ``face_splits[i + 1]``.
        threads: None for as many as there are processors to run on.
    """
    from s3fd import _arrays

    splits = np.cumsum([0, *map(len, scores)], dtype=np.int64)
    sorted_boxes, sorted_scores = np.empty((splits[-1], 4)), np.empty(splits[-1])
    order = np.empty(splits[-1], dtype=np.int64)
    for first, rows, values in zip(splits[:-1], boxes, scores, strict=True):
        falling = np.argsort(-values, kind="stable")
        here = slice(first, first + len(values))
        sorted_boxes[here], sorted_scores[here] = rows[falling], values[falling]
        order[here] = first + falling
    best, overlap = _arrays.best_overlaps(
        sorted_boxes, splits, faces, face_splits, threads=threads or available_threads()
    )
    return PixelOverlaps(sorted_scores, best, overlap, order, splits, face_splits)
