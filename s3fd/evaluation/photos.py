"""Runs a detector over labelled photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from s3fd.data import AnnotatedImage
from s3fd.detections import Detections
from s3fd.evaluation.average_precision import PrecisionRecall, average_precision
from s3fd.images import UInt8Array, read_image
from s3fd.pipeline import in_order

Detector: TypeAlias = Callable[[Sequence[UInt8Array]], Sequence[Detections]]
"""Takes photos, uint8 ``[H, W, 3]``, and gives the faces of each: a `FaceDetector`, for example.

The average precision is that of all scores it gives: let it give small ones.
"""

LOWEST_SCORE = 1e-4
"""The score threshold that detectors are evaluated with: smaller scores hardly change the curve.

A calibrated detector is rarely right at a score of 0.01, but its curve goes on there.
"""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a detector is on a set of photos.

    Attributes:
        curve: recall and precision at every score.
        iou_threshold: the least overlap with a face that finds it.
        photos: number of photos.
        ignore_boxes: number of boxes in which detections count neither way.
        seconds: for reading the photos and finding their faces.
        detections: of each photo.
    """

    curve: PrecisionRecall
    iou_threshold: float
    photos: int
    ignore_boxes: int
    seconds: float
    detections: list[Detections]


def evaluate_detector(
    detector: Detector,
    photos: Sequence[AnnotatedImage],
    *,
    iou_threshold: float = 0.5,
    at_once: int = 32,
    advance: Callable[[int], object] | None = None,
) -> Evaluation:
    """Finds the faces of labelled photos, and compares them with the labels.

    Args:
        detector: see `Detector`.
        photos: none gives an empty curve.
        iou_threshold: the least overlap with a face that finds it, in (0, 1]; see
            `s3fd.evaluation.match_detections` for the rule.
        at_once: photos that are given to the detector together; as many are read meanwhile.
        advance: called with the number of photos just done, for a progress bar.

    Raises:
        FileNotFoundError, s3fd.images.ImageError: a photo can't be read.
        ValueError: a photo has another size than its labels belong to, or the detector answers
            with another number of `Detections` than it got photos.

    Example:
        >>> evaluate_detector(lambda photos: [], []).curve.faces
        0
    """
    with closing(_found(detector, photos, at_once, advance)) as found:
        return evaluate_detections(found, photos, iou_threshold=iou_threshold)


def evaluate_detections(
    found: Iterable[Detections],
    photos: Sequence[AnnotatedImage],
    *,
    iou_threshold: float = 0.5,
) -> Evaluation:
    """Compares what a detector finds in labelled photos with the labels.

    Args:
        found: the faces of each photo, taken as they come: `s3fd.FaceDetector.stream`, for example,
            which reads ahead in bounded memory.
        photos: in the same order.
        iou_threshold: as for `evaluate_detector`.

    Raises:
        ValueError: a photo has another size than its labels belong to, or there are more or fewer
            `Detections` than photos.

    Example:
        >>> evaluate_detections([], []).curve.faces
        0
    """
    start = time.perf_counter()
    detections: list[Detections] = []
    for faces in found:
        if len(detections) < len(photos):
            _check_size(photos[len(detections)], faces.image_size)
        detections.append(faces)
    if len(detections) != len(photos):
        raise ValueError(
            f"found: expected Detections for each of {len(photos)} photos, got {len(detections)}"
        )
    seconds = time.perf_counter() - start
    curve = average_precision(
        [faces.numpy() for faces in detections],
        [photo.boxes for photo in photos],
        ignore=[photo.ignore for photo in photos],
        iou_threshold=iou_threshold,
    )
    ignore_boxes = sum(len(photo.ignore) for photo in photos)
    return Evaluation(curve, iou_threshold, len(photos), ignore_boxes, seconds, detections)


def _found(
    detector: Detector,
    photos: Sequence[AnnotatedImage],
    at_once: int,
    advance: Callable[[int], object] | None,
) -> Generator[Detections, None, None]:
    """The faces of photos, of which the next ones are read while the detector looks at some."""

    def read(photo: AnnotatedImage) -> UInt8Array:
        pixels = read_image(photo.path)
        _check_size(photo, pixels.shape[:2])
        return pixels

    def find(pictures: list[UInt8Array]) -> Sequence[Detections]:
        answer = detector(pictures)
        if len(answer) != len(pictures):
            raise ValueError(
                f"detector: expected Detections for each of {len(pictures)} photos, "
                f"got {len(answer)}"
            )
        return answer

    with closing(in_order(photos, read, find, together=at_once, ahead=at_once)) as results:
        for _, result in results:
            if isinstance(result, Exception):
                raise result
            yield result
            if advance is not None:
                advance(1)


def _check_size(photo: AnnotatedImage, size: tuple[int, int]) -> None:
    height, width = size
    known = photo.width, photo.height
    if None not in known and known != (width, height):
        raise ValueError(
            f"{photo.path}: its labels are for {photo.width} x {photo.height} pixels, "
            f"but turned upright it has {width} x {height}"
        )
