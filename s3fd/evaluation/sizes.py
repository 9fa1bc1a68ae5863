"""How good a detector is for faces of each size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.evaluation.average_precision import PrecisionRecall
from s3fd.evaluation.matching import IGNORED, check_images, match_checked


def average_precision_by_size(
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    ground_truths: Sequence[ArrayLike],
    edges: Sequence[float],
    *,
    ignore: Sequence[ArrayLike] | None = None,
    iou_threshold: float = 0.5,
) -> list[PrecisionRecall]:
    """Precision, recall and average precision for each range of face sizes.

    The size of a box is the square root of its area. All detections are matched with all faces
    first. Then a range is given its faces, the detections that found one of them, and the false
    positives of a size in the range; the others count in their own. So a face near an edge that is
    found with a box beyond it is found.

    Args:
        detections: for each image, boxes ``[D_i, 4]`` and scores ``[D_i]``.
        ground_truths: for each image, boxes ``[G_i, 4]``.
        edges: ``[R + 1]``, rising, in the pixels of the boxes; range r holds sizes from its own
            edge on, below the next.
        ignore: for each image, boxes ``[I_i, 4]``; None for no such boxes.
        iou_threshold: the least overlap with a ground truth that finds it, in (0, 1].

    Returns:
        R curves.

    Raises:
        TypeError, ValueError, ImportError: as `s3fd.evaluation.match_detections`.
        ValueError: fewer than two edges, or they do not rise.

    Example:
        >>> small, large = [0, 0, 9, 9], [20, 20, 60, 60]
        >>> found = [([small, [0, 0, 80, 80]], [0.9, 0.8])]
        >>> curves = average_precision_by_size(found, [[small, large]], [1, 16, 256])
        >>> [curve.average_precision for curve in curves]
        [1.0, 0.0]
    """
    limits = np.asarray(edges, np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise ValueError(f"edges: expected at least two rising numbers, got {list(edges)}")
    images = check_images(detections, ground_truths, ignore)
    matched = match_checked(images, iou_threshold)
    faces = np.concatenate([*map(_sizes, images.ground_truths), np.empty(0)])  # [G]
    sizes = np.concatenate([*map(_sizes, images.boxes), np.empty(0)])  # [D]
    first = np.cumsum([0, *map(len, images.ground_truths)])[:-1]
    outcome = np.concatenate(
        [
            *(np.where(m >= 0, m + start, m) for m, start in zip(matched, first, strict=True)),
            np.empty(0, np.int64),
        ]
    )  # [D]: the index in `faces`, or why there is none
    scores = np.concatenate([*images.scores, np.empty(0)])
    found = outcome >= 0
    sizes[found] = faces[outcome[found]]  # a detection belongs to its face's range
    curves = []
    for low, high in pairwise(limits.tolist()):
        counted = (outcome != IGNORED) & (low <= sizes) & (sizes < high)
        number = int(((low <= faces) & (faces < high)).sum())
        curves.append(PrecisionRecall.from_outcomes(scores[counted], found[counted], number))
    return curves


def _sizes(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[N, 4]`` to ``[N]``; NaN and infinite coordinates, and inside-out boxes, give 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    sides = np.nan_to_num(sides, nan=0, posinf=0, neginf=0).clip(min=0)
    areas: NDArray[np.float64] = sides.prod(axis=1)
    return np.sqrt(areas)
