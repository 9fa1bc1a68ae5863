"""What an earlier network took for faces in the training photos, and is none: hard backgrounds.

A crop around a face shows little of what is confused with faces, such as hands, ears and letters.
Sung and Poggio ("Example-based learning for view-based human face detection", 1998) collect
the false alarms of a detector, and train it on with these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from s3fd.data import AnnotatedImage
from s3fd.data.annotations import FloatArray
from s3fd.evaluation.overlaps import areas, intersections, pairwise_iou
from s3fd.evaluation.predictions import Boxes, image_name, read_json_predictions

_LEAST_SIDE = 8.0
"""Of smaller boxes nobody knows what they show."""

_SAME_FACE = 0.3
"""IoU with a face from which a detection has found it, however well."""

_UNKNOWN = 0.3
"""Share of a detection in an ignore box from which nobody knows what it shows."""


def with_distractors(
    photos: Sequence[AnnotatedImage], predictions: str | Path
) -> list[AnnotatedImage]:
    """Photos with their `distractors`: the detections of a file that meet no label.

    Args:
        photos: with their labels.
        predictions: JSON Lines of ``s3fd detect --json``, of these photos or some of them, which
            are known by the names of their files without folders.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed, comes twice, or tells of a photo that could not be read;
            two photos of one name have detections; no detection is left.
    """
    found = read_json_predictions(predictions, parts=1)
    names = [image_name(photo.path.as_posix(), 1) for photo in photos]
    times = Counter(names)
    several = {name for name, (boxes, _) in found.items() if len(boxes) and times[name] > 1}
    if several:
        raise ValueError(
            f"distractors: {len(several)} names in {predictions} are those of several photos, such "
            f"as {min(several)}; give photos names of their own"
        )
    with_theirs = [
        replace(photo, distractors=_meeting_no_label(photo, found[name][0]))
        if name in found
        else photo
        for name, photo in zip(names, photos, strict=True)
    ]
    if not any(len(photo.distractors) for photo in with_theirs):
        raise ValueError(
            f"distractors: {len(found.keys() & names)} of the {len(found)} photos in {predictions} "
            "are trained on, and no detection in these misses all labels; make the file by "
            "`s3fd detect DIR --json FILE --threshold 0.3` of the photos in data"
        )
    return with_theirs


def _meeting_no_label(photo: AnnotatedImage, boxes: Boxes) -> FloatArray:
    """Of ``[D, 4]`` boxes those that are surely no face."""
    is_large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _LEAST_SIDE
    boxes = boxes[is_large]
    iou = pairwise_iou(boxes, photo.boxes)  # [D, G]
    unknown = intersections(boxes, photo.ignore) / areas(boxes)[:, None]  # [D, M]
    none = (iou.max(axis=1, initial=0) < _SAME_FACE) & (unknown.max(axis=1, initial=0) < _UNKNOWN)
    kept: FloatArray = boxes[none].astype(np.float32)
    return kept
