"""The compiled matching again in plain numpy: its specification, and the oracle of its tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FALSE_POSITIVE = -1
IGNORED = -2


def match_detections(
    boxes: NDArray[np.float32],  # [D, 4]
    scores: NDArray[np.floating],  # [D]
    ground_truths: NDArray[np.float32],  # [G, 4]
    ignore: NDArray[np.float32],  # [I, 4]
    *,
    iou_threshold: float,
) -> NDArray[np.int64]:  # [D]
    """Twin of `s3fd.evaluation.match_detections`, for one image."""
    shared = _intersections(boxes, ground_truths)  # [D, G]
    with np.errstate(invalid="ignore"):  # infinity - infinity, where nothing is shared
        together = _areas(boxes)[:, None] + _areas(ground_truths) - shared  # [D, G]
    iou = np.where(shared > 0, shared / np.where(shared > 0, together, 1), 0)  # [D, G]
    inside = _intersections(boxes, ignore) >= np.float32(0.5) * _areas(boxes)[:, None]  # [D, I]
    ignored = (inside & _proper(boxes)[:, None]).any(axis=1)  # [D]

    matched = np.full(len(boxes), FALSE_POSITIVE, dtype=np.int64)
    free = np.ones(len(ground_truths), dtype=bool)
    for detection in np.argsort(-scores, kind="stable"):  # lower index first on equal scores
        candidates = np.where(free, iou[detection].astype(np.float64), 0)  # [G]
        if candidates.max(initial=0) > 0 and candidates.max() >= iou_threshold:
            matched[detection] = candidates.argmax()  # the lower index on equal IoUs
            free[matched[detection]] = False
        elif ignored[detection]:
            matched[detection] = IGNORED
    return matched


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    with np.errstate(invalid="ignore", over="ignore"):
        areas: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _proper(boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """False for what overlaps nothing: no width or height, NaN, infinity, an area beyond float."""
    areas = _areas(boxes)
    wide, high = boxes[:, 2] > boxes[:, 0], boxes[:, 3] > boxes[:, 1]
    return wide & high & (areas > 0) & (areas < np.inf)


def _intersections(
    a: NDArray[np.float32],  # [A, 4]
    b: NDArray[np.float32],  # [B, 4]
) -> NDArray[np.float32]:  # [A, B]
    """Area that each pair of boxes shares; improper boxes share nothing."""
    with np.errstate(invalid="ignore", over="ignore"):
        low = np.maximum(a[:, None, :2], b[:, :2])  # [A, B, 2]
        high = np.minimum(a[:, None, 2:], b[:, 2:])  # [A, B, 2]
        width, height = np.moveaxis(np.maximum(high - low, 0), 2, 0)  # 2 x [A, B]
        both = _proper(a)[:, None] & _proper(b)  # [A, B]
        shared: NDArray[np.float32] = np.where(both, width * height, np.float32(0))
    return shared
