"""Which detection found which face, which found none, and which counts neither way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.messages import shown

FALSE_POSITIVE = -1
IGNORED = -2


def match_detections(
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    ground_truths: Sequence[ArrayLike],
    *,
    ignore: Sequence[ArrayLike] | None = None,
    iou_threshold: float = 0.5,
) -> list[NDArray[np.int64]]:
    """Matches the detections of each image to its ground truths, greedily.

    By falling score (the lower index of equal scores first), each detection takes the ground truth
    that it overlaps most (the lower index on ties) among those that are still free and have an
    IoU of at least `iou_threshold` with it. So a detection of a face that is taken already can
    still find its neighbour, as in COCO's protocol; PASCAL VOC's would not let it.

    A detection that found nothing is ignored, and counts neither way, if at least half of *its own*
    area lies in one ignore box: that may be a whole crowd, so that the IoU would say little.

    Boxes are ``(x1, y1, x2, y2)`` with the width ``x2 - x1``. They are compared in single
    precision, as everywhere in this package. A box without area, or with one that is not finite in
    single precision (a detector's box may have NaN or infinite coordinates), overlaps nothing.

    Args:
        detections: for each image, boxes ``[D_i, 4]`` and scores ``[D_i]``, in any order.
        ground_truths: for each image, boxes ``[G_i, 4]``.
        ignore: for each image, boxes ``[I_i, 4]``; None for no such boxes.
        iou_threshold: in (0, 1].

    Returns:
        For each image int64 ``[D_i]``, in the order of its detections: the index of the ground
        truth, -1 for a false positive, -2 for an ignored detection.

    Raises:
        TypeError, ValueError: an argument is not as described, NaN scores and ground truths or
            ignore boxes that are not finite included; the message names it.
        ImportError: the compiled module is missing or can't be loaded.

    Example:
        >>> face = [10, 10, 30, 30]
        >>> boxes = [[11, 10, 31, 30], face, [50, 50, 60, 60], [80, 0, 90, 10]]
        >>> match_detections([(boxes, [0.8, 0.9, 0.7, 0.6])], [[face]], ignore=[[[40, 40, 70, 70]]])
        [array([-1,  0, -2, -1])]
    """
    return match_checked(check_images(detections, ground_truths, ignore), iou_threshold)


@dataclass(frozen=True, eq=False)
class CheckedImages:
    """A set of images as arrays of the right kind: float32 boxes, float64 scores."""

    boxes: list[NDArray[np.float32]]
    scores: list[NDArray[np.float64]]
    ground_truths: list[NDArray[np.float32]]
    ignore: list[NDArray[np.float32]]


def check_images(
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    ground_truths: Sequence[ArrayLike],
    ignore: Sequence[ArrayLike] | None,
) -> CheckedImages:
    """Checks what a user passes to `match_detections`; raises as it says."""
    images = len(_sequence("detections", detections))
    for name, value in (("ground_truths", ground_truths), ("ignore", ignore)):
        if value is not None and len(_sequence(name, value)) != images:
            raise ValueError(
                f"{name}: expected boxes for each of the {images} images of detections, "
                f"got {len(value)}"
            )
    checked = CheckedImages([], [], [], [])
    for index, pair in enumerate(detections):
        boxes, scores = check_detections(f"detections[{index}]", pair)
        with np.errstate(over="ignore"):
            checked.boxes.append(boxes.astype(np.float32))
        checked.scores.append(scores)
    for index, rows in enumerate(ground_truths):
        checked.ground_truths.append(_known_boxes(f"ground_truths[{index}]", rows))
    for index, rows in enumerate([()] * images if ignore is None else ignore):
        checked.ignore.append(_known_boxes(f"ignore[{index}]", rows))
    return checked


def match_checked(images: CheckedImages, iou_threshold: float) -> list[NDArray[np.int64]]:
    """As `match_detections`."""
    from s3fd import _arrays

    check_iou_threshold(iou_threshold)
    boxes, splits = _joined(images.boxes)
    image = np.repeat(np.arange(len(images.boxes)), np.diff(splits))  # [D]
    scores = np.concatenate([*images.scores, np.empty(0)])  # [D]
    order = np.lexsort((-scores, image))  # stable: the lower index of equal scores first
    matched = np.empty(len(boxes), dtype=np.int64)
    matched[order] = _arrays.match_detections(
        boxes[order],
        splits,
        *_joined(images.ground_truths),
        *_joined(images.ignore),
        iou_threshold=float(iou_threshold),
    )
    return np.split(matched, splits[1:-1]) if images.boxes else []


def check_iou_threshold(value: float) -> None:
    """Raises `TypeError` or `ValueError` unless it is a number in (0, 1]."""
    expected = "iou_threshold: expected a number in (0, 1]"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{expected}, got {type(value).__name__} {shown(value)}")
    if not 0 < value <= 1:
        raise ValueError(f"{expected}, got {shown(value)}")


def _joined(
    boxes: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All boxes ``[T, 4]``; those of image i are rows ``splits[i]`` to ``splits[i + 1]``."""
    splits = np.cumsum([0, *map(len, boxes)], dtype=np.int64)
    return np.concatenate([*boxes, np.empty((0, 4), np.float32)]), splits


def _sequence(name: str, value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(
            f"{name}: expected a list with one entry for each image, got {type(value).__name__}"
        )
    return value


def check_detections(name: str, pair: object) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boxes ``[D, 4]`` and scores ``[D]`` of one image.

    Raises:
        TypeError, ValueError: they are no such pair, or a score is NaN.
    """
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(
            f"{name}: expected a pair of boxes [D, 4] and scores [D], got {type(pair).__name__}; "
            "of Detections, pass .numpy()"
        )
    boxes, scores = _boxes(f"{name}[0]", pair[0]), _numbers(f"{name}[1]", pair[1])
    if scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"{name}[1]: expected {len(boxes)} scores, one for each box, "
            f"got shape {list(scores.shape)}"
        )
    if np.isnan(scores).any():
        raise ValueError(f"{name}[1]: score {np.isnan(scores).argmax()} is NaN")
    return boxes, scores


def _known_boxes(name: str, value: object) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        boxes = _boxes(name, value).astype(np.float32)
    if not np.isfinite(boxes).all():
        row = (~np.isfinite(boxes)).any(axis=1).argmax()
        raise ValueError(f"{name}: box {row} is not finite: {boxes[row].tolist()}")
    return boxes


def _boxes(name: str, value: object) -> NDArray[np.float64]:
    boxes = _numbers(name, value)
    if boxes.shape == (0,):  # an empty list
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}: expected boxes [N, 4], got shape {list(boxes.shape)}")
    return boxes


def _numbers(name: str, value: object) -> NDArray[np.float64]:
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name}: expected an array of numbers ({error})") from error
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: expected an array of numbers, got dtype {array.dtype}")
    return array.astype(np.float64, copy=False)
