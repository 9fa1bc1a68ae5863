"""From boxes to ellipses: a regression that FDDB's photos teach, fold by fold.

Detectors find boxes, FDDB's faces are ellipses, and a box can't overlap the ellipse in it by more
than 0.79. So S3FD (section 4.3) and others turn their boxes into ellipses before the benchmark sees
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.fddb import FddbPhoto, ellipse_boxes
from s3fd.evaluation.matching import match_detections
from s3fd.evaluation.predictions import Prediction

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class EllipseRegression:
    """A linear map from the shape of a box to the ellipse in it.

    Attributes:
        weights: float64 ``[2, 5]``. For a box of width w and height h, ``(1, log(w / h))``
            times them are the major radius by h, the minor radius by w, the angle from upright,
            and the shift of the centre by w and h.
    """

    weights: FloatArray

    @classmethod
    def fit(cls, boxes: FloatArray, ellipses: FloatArray) -> EllipseRegression:
        """Least squares over pairs of a box and its ellipse.

        Args:
            boxes: ``[N, 4]``, ``(x1, y1, x2, y2)``, with area.
            ellipses: ``[N, 5]``, as in `FddbPhoto`.

        Raises:
            ValueError: there are fewer than two pairs.
        """
        if len(boxes) < 2:
            raise ValueError(f"boxes: expected two pairs or more to learn from, got {len(boxes)}")
        x, y, width, height = _centres_and_sizes(boxes)
        major, minor, angle, ellipse_x, ellipse_y = ellipses.T
        targets = [
            major / height,
            minor / width,
            np.mod(angle, np.pi) - np.pi / 2,  # an axis has no direction
            (ellipse_x - x) / width,
            (ellipse_y - y) / height,
        ]
        weights, *_ = np.linalg.lstsq(_features(width, height), np.stack(targets, axis=1))
        return cls(weights)

    def __call__(self, boxes: FloatArray) -> FloatArray:
        """Turns boxes ``[N, 4]`` into ellipses ``[N, 5]``."""
        x, y, width, height = _centres_and_sizes(boxes)
        major, minor, angle, right, down = (_features(width, height) @ self.weights).T
        columns = [
            major * height,
            minor * width,
            angle + np.pi / 2,
            x + right * width,
            y + down * height,
        ]
        return np.stack(columns, axis=1)


def regress_ellipses(
    photos: Sequence[FddbPhoto], detections: Sequence[Prediction]
) -> list[Prediction]:
    """Turns boxes into ellipses; each fold's by what the other folds teach.

    A box teaches with the ellipse it belongs to: the greedy match of `match_detections` with the
    boxes around ellipses, at IoU 0.5.

    Args:
        photos: of two folds at least.
        detections: for each photo boxes ``[D_i, 4]`` and scores ``[D_i]``.

    Raises:
        ValueError: there are not two folds, detections are ellipses already, or too few belong to
            an ellipse.
    """
    folds = np.array([photo.fold for photo in photos])
    if len(set(folds.tolist())) < 2:
        raise ValueError(
            "photos: expected two folds or more, so that no fold's ellipses are regressed by its "
            "own faces"
        )
    if any(boxes.shape[1] != 4 for boxes, _ in detections):
        raise ValueError("detections: expected boxes [D, 4]; ellipses need no regression")
    matched = match_detections(detections, [ellipse_boxes(photo.ellipses) for photo in photos])
    boxes = [found[m >= 0] for (found, _), m in zip(detections, matched, strict=True)]
    ellipses = [p.ellipses[m[m >= 0]] for p, m in zip(photos, matched, strict=True)]
    regressions = {}
    for fold in set(folds.tolist()):
        others = np.flatnonzero(folds != fold)
        regressions[fold] = EllipseRegression.fit(
            np.concatenate([boxes[i] for i in others]),
            np.concatenate([ellipses[i] for i in others]),
        )
    return [
        (regressions[photo.fold](found), scores)
        for photo, (found, scores) in zip(photos, detections, strict=True)
    ]


def _features(width: FloatArray, height: FloatArray) -> FloatArray:
    return np.stack([np.ones_like(width), np.log(width / height)], axis=1)


def _centres_and_sizes(
    boxes: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    x1, y1, x2, y2 = boxes.T
    tiny = 1e-6  # a box without area is no face, but it needs an ellipse
    width, height = np.maximum(x2 - x1, tiny), np.maximum(y2 - y1, tiny)
    return (x1 + x2) / 2, (y1 + y2) / 2, width, height
