"""The rules of matching again, one face after the other: what the analysis is checked against."""

import numpy as np
import pytest


@pytest.fixture
def brute_force():
    """Anchors of each face of an image, whose input is a square, under a rule."""

    def count(boxes, rule, side):
        assert (rule.candidate_iou, rule.keep_best) == (0.1, True)
        return anchors_per_face(boxes, anchors_of(side), rule.positive_iou, rule.top_n)

    return count


def anchors_of(side):  # float32 [A, 4]
    """The paper's anchors of a square input."""
    levels = []
    for stride in (4, 8, 16, 32, 64, 128):
        cells = -(-side // stride)
        y, x = (np.mgrid[:cells, :cells] + 0.5) * stride
        half = 2 * stride
        levels.append(np.stack([x - half, y - half, x + half, y + half], axis=-1).reshape(-1, 4))
    return np.concatenate(levels).astype(np.float32)


def overlaps(box, anchors):  # [4], [A, 4] -> float32 [A]
    low = np.maximum(box[:2], anchors[:, :2])
    high = np.minimum(box[2:], anchors[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    areas = np.prod(anchors[:, 2:] - anchors[:, :2], axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + areas - shared)


def anchors_per_face(boxes, anchors, positive_iou, top_n, candidate_iou=0.1):
    """How many anchors each box gets; `top_n` None takes the mean, 0 leaves the second stage out.

    Args:
        boxes: float32 ``[G, 4]``, none of them degenerate.
        anchors: float32 ``[A, 4]``.
    """
    if len(boxes) == 0:
        return np.zeros(0, int)
    iou = np.stack([overlaps(box, anchors) for box in boxes])  # [G, A]
    owner = np.where(iou.max(axis=0) >= positive_iou, iou.argmax(axis=0), -1)  # [A]
    # The best claim comes last, and stays.
    for face in sorted(range(len(boxes)), key=lambda face: (iou[face].max(), -face)):
        if iou[face].max() > 0:
            owner[iou[face].argmax()] = face
    counts = np.array([(owner == face).sum() for face in range(len(boxes))])
    n = max(1, counts.sum() // len(boxes)) if top_n is None else top_n
    claims = {}
    for face in np.flatnonzero(counts < n):
        near = np.flatnonzero(iou[face] > candidate_iou)
        for anchor in near[np.argsort(-iou[face, near], kind="stable")][:n]:
            if owner[anchor] == -1:
                claims.setdefault(anchor, []).append((iou[face, anchor], -face))
    for anchor, claimants in claims.items():
        owner[anchor] = -max(claimants)[1]
    return np.array([(owner == face).sum() for face in range(len(boxes))])
