"""Sets of labelled photos, and how well their faces are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from s3fd.data import AnnotatedImage
from s3fd.evaluation import PrecisionRecall, average_precision, average_precision_by_size
from s3fd.overlaps import areas

EDGES = (8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0)
HARD = 5  # photos of which one goes through all that photos go through


def sets_of(photos: Sequence[AnnotatedImage]) -> dict[str, list[AnnotatedImage]]:
    """Photos by what their names begin with, in alphabetical order."""
    sets: dict[str, list[AnnotatedImage]] = {}
    for photo in photos:
        sets.setdefault(photo.path.name.partition("-")[0], []).append(photo)
    return dict(sorted(sets.items()))


def hard_photos(photos: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    """Those that go through all that photos go through."""
    return [photo for photo in photos if not photo.path.name.startswith("crowd-")][::HARD]


@dataclass(frozen=True)
class Measured:
    """The detections of a set of photos that were shown at some scale.

    Attributes:
        name: of the set.
        scale: of the photos that the detector saw; boxes are in pixels of the photos themselves.
        photos: with their labels.
        found: for each photo boxes ``[D_i, 4]`` and scores ``[D_i]``.
    """

    name: str
    scale: float
    photos: Sequence[AnnotatedImage]
    found: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]

    @cached_property
    def curve(self) -> PrecisionRecall:
        """At an IoU of 0.5."""
        return self.at_iou(0.5)

    def at_iou(self, iou_threshold: float) -> PrecisionRecall:
        """Of all faces from 8 px on; smaller ones are ignored, since the labels hardly know any."""
        boxes, ignore = zip(*map(_from_8_px, self.photos), strict=True)
        return average_precision(self.found, boxes, ignore=ignore, iou_threshold=iou_threshold)

    def by_size(self) -> list[PrecisionRecall]:
        """One curve for each range of `EDGES`."""
        boxes = [photo.boxes for photo in self.photos]
        ignore = [photo.ignore for photo in self.photos]
        return average_precision_by_size(self.found, boxes, EDGES, ignore=ignore)


def _from_8_px(photo: AnnotatedImage) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    small = np.sqrt(areas(photo.boxes)) < EDGES[0]
    return photo.boxes[~small], np.concatenate([photo.ignore, photo.boxes[small]])
