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
from s3fd.evaluation.predictions import Boxes, image_name, read_json_predictions
from s3fd.overlaps import areas, intersections, pairwise_iou

_LEAST_SIDE = 8.0
"""Of smaller boxes nobody knows what they show."""

_SAME = 0.3
"""IoU from which a detection has found a face, however well, or two show the same thing."""

_UNKNOWN = 0.3
"""Share of a detection in an ignore box from which nobody knows what it shows."""


def with_distractors(
    photos: Sequence[AnnotatedImage], files: Sequence[str | Path]
) -> list[AnnotatedImage]:
    """Photos with their `distractors`: the detections of files that meet no label.

    Of what several files found, such as those of the photos at several sizes, each thing counts
    once, as the first of them has it.

    Args:
        photos: with their labels.
        files: JSON Lines of ``s3fd detect --json``, of these photos or some of them, which are
            known by the names of their files without folders.

    Raises:
        FileNotFoundError: one of the files does not exist.
        ValueError: a line is malformed, comes twice, or tells of a photo that could not be read;
            two photos of one name have detections; of a file no detection is left.
    """
    names = [image_name(photo.path.as_posix(), 1) for photo in photos]
    times = Counter(names)
    by_file = [_in_file(file, photos, names, times) for file in files]
    found = ([theirs[name] for theirs in by_file if name in theirs] for name in names)
    return [
        replace(photo, distractors=_each_once(boxes)) if boxes else photo
        for photo, boxes in zip(photos, found, strict=True)
    ]


def _in_file(
    file: str | Path, photos: Sequence[AnnotatedImage], names: Sequence[str], times: Counter[str]
) -> dict[str, FloatArray]:
    """The distractors that a file tells of, by the name of the photo."""
    found = read_json_predictions(file, parts=1)
    several = {name for name, (boxes, _) in found.items() if len(boxes) and times[name] > 1}
    if several:
        raise ValueError(
            f"distractors: {len(several)} names in {file} are those of several photos, such "
            f"as {min(several)}; give photos names of their own"
        )
    theirs = {
        name: _meeting_no_label(photo, found[name][0])
        for name, photo in zip(names, photos, strict=True)
        if name in found
    }
    if not any(map(len, theirs.values())):
        raise ValueError(
            f"distractors: {len(theirs)} of the {len(found)} photos in {file} are trained on, and "
            "no detection in these misses all labels; make the file by "
            "`s3fd detect DIR --json FILE --threshold 0.3` of the photos in data"
        )
    return theirs


def _each_once(of_files: Sequence[FloatArray]) -> FloatArray:
    """The boxes of the first file, and of the others those that meet none before."""
    kept = of_files[0]
    for boxes in of_files[1:]:
        is_new = pairwise_iou(boxes, kept).max(axis=1, initial=0) < _SAME
        kept = np.concatenate([kept, boxes[is_new]])
    return kept


def _meeting_no_label(photo: AnnotatedImage, boxes: Boxes) -> FloatArray:
    """Of ``[D, 4]`` boxes those that are surely no face."""
    is_large = (boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= _LEAST_SIDE
    boxes = boxes[is_large]
    iou = pairwise_iou(boxes, photo.boxes)  # [D, G]
    unknown = intersections(boxes, photo.ignore) / areas(boxes)[:, None]  # [D, M]
    none = (iou.max(axis=1, initial=0) < _SAME) & (unknown.max(axis=1, initial=0) < _UNKNOWN)
    kept: FloatArray = boxes[none].astype(np.float32)
    return kept
