"""Which photos are meant by files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from s3fd.file_kinds import photo_suffixes, why_passed_over

_LINKS = "linked folder"


@dataclass(frozen=True)
class Photo:
    """A file to look at, and the name of its results: its path below the folder it was found in."""

    path: Path
    name: Path


@dataclass
class Found:
    """Photos, each once, and what else there is to say.

    Attributes:
        photos: in the order of the arguments.
        problems: what was asked for but is not there: what, and why.
        notes: what was passed over, a sentence for each folder.
    """

    photos: list[Photo] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_photos(arguments: Iterable[str], *, without: Path | None = None) -> Found:
    """The photos that a user means.

    Args:
        arguments: files, whatever their names; folders, for all files below them that are called
            like photos, sorted; globs (``**`` for any folders), where no file has that very name.
            Folders below a folder are not followed where they are links; hidden files, such as the
            ._IMG_1.jpg that macOS leaves on memory cards, are passed over.
        without: a folder of results, which is left out of the folders above it.
    """
    found = Found()
    seen: set[str] = set()
    for argument in arguments:
        for path in _matches(argument, found.problems):
            photos = [Photo(path, Path(path.name))]
            if path.is_dir():
                photos = list(_photos_below(path, without, found))
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


def _photos_below(folder: Path, without: Path | None, found: Found) -> Iterator[Photo]:
    before = len(found.problems)

    def report(error: OSError) -> None:
        found.problems.append((str(error.filename), f"can't be listed ({error.strerror})"))

    results = None if without is None else without.resolve()
    suffixes, passed_over, empty = photo_suffixes(), Counter[str](), True
    for parent, folders, files in os.walk(folder, onerror=report):
        below = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
        below = [path for path in below if path.resolve() != results]
        passed_over[_LINKS] += sum(path.is_symlink() for path in below)
        folders[:] = [path.name for path in below]
        for name in sorted(files):
            path = Path(parent, name)
            if name.startswith("."):
                continue
            if path.suffix.lower() in suffixes:
                empty = False
                yield Photo(path, path.relative_to(folder))
            elif why := why_passed_over(path.suffix.lower()):
                passed_over[why] += 1
    if empty and len(found.problems) == before:
        found.problems.append((str(folder), "there is no photo in this folder"))
    if passed_over := +passed_over:  # without the zeros
        counts = sorted(passed_over.items())
        what = ", ".join(f"{n} {kind}{'s' * (kind == _LINKS and n > 1)}" for kind, n in counts)
        found.notes.append(f"{folder}: passed over {what}")
