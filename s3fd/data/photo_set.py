"""Photos of a dataset with their faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from s3fd.data.annotations import AnnotatedImage, read_annotations


@dataclass(frozen=True)
class PhotoSet:
    """The photos of one split.

    Attributes:
        photos: with their faces.
        form: of the dataset.
    """

    photos: list[AnnotatedImage]
    form: str

    def summary(self) -> str:
        """How many photos and faces there are, in one line."""
        faces = sum(len(photo.boxes) for photo in self.photos)
        return f"{len(self.photos)} photos, {faces} faces"


def read_photos(root: str | Path, split: str = "train", form: str | None = None) -> PhotoSet:
    """Reads one split of a dataset, see `read_annotations`."""
    return PhotoSet(read_annotations(root, split), form or "annotations")
