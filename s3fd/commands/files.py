"""The files of the commands: which photos are meant, and where results go."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Hidden files, such as the ._IMG_1.jpg that macOS leaves on memory cards, are passed over.
_JPEG_SUFFIXES = frozenset([".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"])
_PHOTO_SUFFIXES = _JPEG_SUFFIXES | {
    *(".avif", ".bmp", ".dib", ".gif", ".j2k", ".jp2", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tga", ".tif", ".tiff", ".webp"),
}
_JPEG_LONGEST = 65500


@dataclass(frozen=True)
class Photo:
    """A file to look at, and the name of its results: its path below the folder it was found in."""

    path: Path
    name: Path


@dataclass
class Found:
    """Photos, each once, and what was asked for but is not there: what, and why."""

    photos: list[Photo] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def find_photos(arguments: Iterable[str], *, without: Path | None = None) -> Found:
    """The photos that a user means.

    Args:
        arguments: files, whatever their names; folders, for all files below them that are called
            like photos, sorted; globs (``**`` for any folders), where no file has that very name.
        without: a folder of results, which is left out of the folders above it.
    """
    found = Found()
    seen: set[str] = set()
    for argument in arguments:
        for path in _matches(argument, found.problems):
            photos = [Photo(path, Path(path.name))]
            if path.is_dir():
                photos = list(_photos_below(path, without, found.problems))
            for photo in photos:
                absolute = str(photo.path.absolute())
                if absolute not in seen:
                    seen.add(absolute)
                    found.photos.append(photo)
    return found


def _matches(argument: str, problems: list[tuple[str, str]]) -> list[Path]:
    if os.path.lexists(argument):
        return [Path(argument)]
    if not glob.has_magic(argument):
        problems.append((argument, "there is no such file"))
        return []
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  # may be absolute
    if not matches:
        problems.append((argument, "no file matches"))
    return [Path(match) for match in matches]


def _photos_below(
    folder: Path, without: Path | None, problems: list[tuple[str, str]]
) -> Iterator[Photo]:
    before = len(problems)

    def report(error: OSError) -> None:
        problems.append((str(error.filename), f"can't be listed ({error.strerror})"))

    results = None if without is None else without.resolve()
    empty = True
    for parent, folders, files in os.walk(folder, onerror=report):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and Path(parent, name).resolve() != results
        )
        for name in sorted(files):
            path = Path(parent, name)
            if path.suffix.lower() in _PHOTO_SUFFIXES and not name.startswith("."):
                empty = False
                yield Photo(path, path.relative_to(folder))
    if empty and len(problems) == before:
        problems.append((str(folder), "there is no photo in this folder"))


class ResultNames:
    """Names for pictures with boxes: ``group.jpg`` gives ``group-faces.jpg``.

    No two results of a run have the same name, and none has that of a photo.

    Args:
        folder: where the results go.
        photos: all photos of the run.
    """

    def __init__(self, folder: Path, photos: Iterable[Photo]) -> None:
        self._folder = folder
        # Case is folded: a and A are one file on many systems.
        self._taken = {os.path.realpath(photo.path).casefold() for photo in photos}

    def name(self, photo: Photo, size: tuple[int, int]) -> Path:
        """A new name for this photo of a height and width: JPEGs stay JPEGs, others become PNG."""
        jpeg = photo.path.suffix.lower() in _JPEG_SUFFIXES and max(size) <= _JPEG_LONGEST
        folder, suffix = self._folder / photo.name.parent, ".jpg" if jpeg else ".png"
        path, number = folder / f"{photo.name.stem}-faces{suffix}", 1
        while os.path.realpath(path).casefold() in self._taken:
            number += 1
            path = folder / f"{photo.name.stem}-faces-{number}{suffix}"
        self._taken.add(os.path.realpath(path).casefold())
        return path
