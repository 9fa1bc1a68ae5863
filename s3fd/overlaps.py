"""Overlaps of boxes with boxes, each with each: for a few of them, and what needs no kernel.

A box that is inside out, or has a NaN or infinite coordinate, has no area and overlaps nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def intersections(
    a: NDArray[np.floating],  # [A, 4]
    b: NDArray[np.floating],  # [B, 4]
) -> NDArray[np.float64]:  # [A, B]
    """The area that a box has in common with another."""
    a, b = _finite(a), _finite(b)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: NDArray[np.float64] = (high - low).clip(0).prod(axis=2)
    return shared


def areas(boxes: NDArray[np.floating]) -> NDArray[np.float64]:  # [N, 4] -> [N]
    """The area of each box."""
    boxes = _finite(boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    result: NDArray[np.float64] = sides.clip(0).prod(axis=1)
    return result


def pairwise_iou(
    a: NDArray[np.floating],  # [A, 4]
    b: NDArray[np.floating],  # [B, 4]
) -> NDArray[np.float64]:  # [A, B]
    """IoU of each box with each other; 0 where they have nothing in common.

    Example:
        >>> pairwise_iou(np.array([[0.0, 0, 4, 4]]), np.array([[2.0, 0, 6, 4], [4, 4, 5, 5]]))
        array([[0.33333333, 0.        ]])
    """
    shared = intersections(a, b)
    union = areas(a)[:, None] + areas(b) - shared
    iou: NDArray[np.float64] = shared / np.where(shared > 0, union, 1)
    return iou


def _finite(boxes: NDArray[np.floating]) -> NDArray[np.float64]:  # [N, 4] -> [N, 4]
    """The boxes, with an empty one in the place of each that is not finite."""
    return np.where(np.isfinite(boxes).all(axis=1)[:, None], boxes.astype(np.float64), 0)
