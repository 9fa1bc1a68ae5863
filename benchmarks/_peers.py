"""The fastest other implementations of non-maximum suppression, where they are installed.

Each takes boxes, scores and a threshold, brings them into its own form, and returns what is timed:
a call that gives the indices of the boxes that stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

Prepare: TypeAlias = Callable[[Tensor, Tensor, float], Callable[[], Any]]


def _lsnms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Callable[[], Any]:
    import lsnms

    rows, values = boxes.double().numpy(), scores.double().numpy()
    return lambda: lsnms.nms(rows, values, iou_threshold=iou_threshold, score_threshold=0.0)


def _powerboxes(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Callable[[], Any]:
    import powerboxes

    rows, values = boxes.numpy(), scores.double().numpy()
    return lambda: powerboxes.nms(rows, values, iou_threshold, 0.0)


def _powerboxes_rtree(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Callable[[], Any]:
    import powerboxes

    rows, values = boxes.numpy(), scores.double().numpy()
    return lambda: powerboxes.rtree_nms(rows, values, iou_threshold, 0.0)


def _opencv(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Callable[[], Any]:
    import cv2

    corner, opposite = boxes.split(2, dim=1)
    rows, values = torch.cat([corner, opposite - corner], dim=1).numpy(), scores.numpy()
    suppress: Any = cv2.dnn.NMSBoxes  # its annotations ask for lists, which are slower
    return lambda: suppress(rows, values, 0.0, iou_threshold)


NMS: Mapping[str, Prepare] = {
    "lsnms": _lsnms,
    "powerboxes": _powerboxes,
    "powerboxes R-tree": _powerboxes_rtree,
    "OpenCV": _opencv,
}
