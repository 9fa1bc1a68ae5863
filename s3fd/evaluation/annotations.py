"""Evaluation on photos with an ``annotations.json``, as `s3fd.data.read_annotations` reads it."""

from __future__ import annotations

from pathlib import Path

from s3fd.data import read_annotations
from s3fd.evaluation.photos import LabelledPhoto


def annotated_photos(root: str | Path, split: str = "val") -> list[LabelledPhoto]:
    """The photos of one split, with their faces and ignore boxes.

    Args:
        root: the folder that holds ``annotations.json``.
        split: for example ``"train"`` or ``"val"``.

    Raises:
        FileNotFoundError, ValueError: as `s3fd.data.read_annotations`.
    """
    return [
        LabelledPhoto(image.path, image.boxes, image.ignore, size=(image.height, image.width))
        for image in read_annotations(root, split)
    ]
