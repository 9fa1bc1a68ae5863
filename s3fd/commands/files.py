"""The files of the commands: where results go."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from s3fd.file_kinds import JPEG_LONGEST, JPEG_SUFFIXES, VIDEO_FORMATS
from s3fd.photos import Photo, PhotoSearch, folded_path


class ResultNames:
    """Names for what boxes are drawn into: ``group.jpg`` gives ``group-faces.jpg``.

    No two results of a run have the same name, and none has that of a photo.

    Args:
        folder: where the results go.
        photos: those of the run.
        taken: results of earlier runs.
    """

    def __init__(self, folder: Path, photos: PhotoSearch, taken: Iterable[Path] = ()) -> None:
        self._folder = folder
        self._photos = photos
        self._taken = {folded_path(path) for path in taken}

    def __contains__(self, path: Path) -> bool:
        """Whether a file is a result."""
        return folded_path(path) in self._taken

    def picture(self, photo: Photo, size: tuple[int, int]) -> Path:
        """A new name for this photo of a height and width: JPEGs stay JPEGs, others become PNG."""
        jpeg = photo.path.suffix.lower() in JPEG_SUFFIXES and max(size) <= JPEG_LONGEST
        return self._new(photo, ".jpg" if jpeg else ".png")

    def video(self, video: Photo) -> Path:
        """A new name for this video: of its own kind, or MP4 where that is not written."""
        suffix = video.path.suffix.lower()
        return self._new(video, suffix if suffix in VIDEO_FORMATS else ".mp4")

    def _new(self, photo: Photo, suffix: str) -> Path:
        folder = self._folder / photo.name.parent
        path, number = folder / f"{photo.name.stem}-faces{suffix}", 1
        while path in self or self._photos.includes(path):
            number += 1
            path = folder / f"{photo.name.stem}-faces-{number}{suffix}"
        self._taken.add(folded_path(path))
        return path
