"""Evaluation on photos with labels of any form that `s3fd.data.read_photos` reads."""

from __future__ import annotations

from pathlib import Path

from s3fd.data import read_photos
from s3fd.evaluation.photos import LabelledPhoto


def annotated_photos(root: str | Path, split: str = "val") -> list[LabelledPhoto]:
    """The photos of one split, with their faces and ignore boxes.

    Args:
        root: the folder that holds ``annotations.json``, or labels of another form.
        split: for example ``"train"`` or ``"val"``.

    Raises:
        FileNotFoundError, ImportError, ValueError: as `s3fd.data.read_photos`.
    """
    return [
        LabelledPhoto(
            photo.path,
            photo.boxes,
            photo.ignore,
            size=(photo.height, photo.width) if photo.height and photo.width else None,
        )
        for photo in read_photos(root, split).photos
    ]
