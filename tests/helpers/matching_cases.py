"""The rule of matching written out, and its options."""

import math

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

BACKGROUND, IGNORED = -1, -2
f32 = np.float32


def degenerate(box: list[float]) -> bool:
    x1, y1, x2, y2 = box
    return not all(map(math.isfinite, box)) or x2 <= x1 or y2 <= y1 or not 0 < area(box) < math.inf


def shared_area(a: list[float], b: list[float]) -> np.float32:
    if degenerate(a) or degenerate(b):
        return f32(0)
    width = f32(min(a[2], b[2])) - f32(max(a[0], b[0]))
    height = f32(min(a[3], b[3])) - f32(max(a[1], b[1]))
    return width * height if width > 0 and height > 0 else f32(0)


def area(box: list[float]) -> np.float32:
    with np.errstate(all="ignore"):
        return (f32(box[2]) - f32(box[0])) * (f32(box[3]) - f32(box[1]))


def iou(a: list[float], b: list[float]) -> float:
    inter = shared_area(a, b)
    return float(inter / (area(a) + area(b) - inter)) if inter > 0 else 0.0


def hides(region: list[float], anchor: list[float]) -> bool:
    half = f32(0.5) * area(anchor)
    return not degenerate(anchor) and bool(shared_area(anchor, region) >= half)


def replay(
    anchors: list[list[float]],
    boxes: list[list[float]],
    ignore: list[list[float]],
    positive_iou: float,
    candidate_iou: float,
    top_n: int | None,
    keep_best: bool,
) -> list[int]:
    """The rule of the docstring, said once more with loops; candidates are visited in order."""
    matched = [BACKGROUND] * len(anchors)
    overlap = [[iou(anchor, box) for anchor in anchors] for box in boxes]

    for a in range(len(anchors)):
        for g in range(len(boxes)):
            enough = overlap[g][a] > 0 and overlap[g][a] >= positive_iou
            if enough and (matched[a] < 0 or overlap[g][a] > overlap[matched[a]][a]):
                matched[a] = g
    if keep_best:
        claims: dict[int, int] = {}
        for g in range(len(boxes)):
            best = None
            for a in range(len(anchors)):
                if overlap[g][a] > 0 and (best is None or overlap[g][a] > overlap[g][best]):
                    best = a
            if best is None:
                continue
            if best not in claims or overlap[g][best] > overlap[claims[best]][best]:
                claims[best] = g
        for a, g in claims.items():
            matched[a] = g

    stage1 = list(matched)
    if boxes:
        n = max(1, sum(g >= 0 for g in stage1) // len(boxes)) if top_n is None else top_n
        for g in range(len(boxes)):
            if stage1.count(g) >= n:
                continue
            candidates = [a for a in range(len(anchors)) if overlap[g][a] > candidate_iou]
            candidates.sort(key=lambda a: (-overlap[g][a], a))
            for a in candidates[:n]:
                free = stage1[a] == BACKGROUND
                if free and (matched[a] < 0 or overlap[g][a] > overlap[matched[a]][a]):
                    matched[a] = g

    for a in range(len(anchors)):
        for region in ignore:
            if matched[a] == BACKGROUND and hides(region, anchors[a]):
                matched[a] = IGNORED
    return matched


def tensor(boxes: list[list[float]]) -> Tensor:
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


thresholds = st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.35, 0.5, 0.6, 1.0])
OPTIONS = st.fixed_dictionaries(
    {
        "positive_iou": thresholds,
        "candidate_iou": thresholds,
        "top_n": st.one_of(st.none(), st.integers(0, 12)),
        "keep_best": st.booleans(),
    }
)
