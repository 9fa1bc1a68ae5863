"""Which photos are meant by files, folders and globs."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from s3fd.file_kinds import photo_suffixes, why_passed_over

_LINKS = "linked folder"


@dataclass(frozen=True)
class Photo:
    """A file to look at, and the name of its results: its path below the folder it was found in."""

    path: Path
    name: Path


@dataclass(frozen=True)
class Problem:
    """What was asked for but is not there, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Note:
    """What was passed over in a folder, in a sentence."""

    text: str


Found: TypeAlias = Photo | Problem | Note


class PhotoSearch:
    """The photos that a user means, each once, in the order of the arguments.

    They are found while one asks for the next: of a folder with millions, the names in one folder
    are in memory. What globs match is, too.

    Args:
        arguments: files, whatever their names; folders, for all files below them that are called
            like photos, sorted; globs (``**`` for any folders), where no file has that very name.
            Folders below a folder are not followed where they are links; hidden files, such as the
            ._IMG_1.jpg that macOS leaves on memory cards, are passed over.
        without: a folder of results, which is left out of the folders above it.
    """

    def __init__(self, arguments: Iterable[str], *, without: Path | None = None) -> None:
        self._given = [found for argument in arguments for found in _matches(argument)]
        self._without = None if without is None else without.resolve()
        self._suffixes = photo_suffixes()

    def __iter__(self) -> Iterator[Found]:
        files, folders = set[str](), list[Path]()  # of earlier arguments

        def seen(path: Path) -> bool:
            absolute = path.absolute()
            return str(absolute) in files or any(
                self._reaches(folder, absolute) for folder in folders
            )

        for given in self._given:
            if isinstance(given, Problem):
                yield given
            elif given.is_dir():
                for found in self._below(given):
                    if not (isinstance(found, Photo) and seen(found.path)):
                        yield found
                folders.append(given.absolute())
            elif not seen(given):
                files.add(str(given.absolute()))
                yield Photo(given, Path(given.name))

    def includes(self, file: Path) -> bool:
        """Whether a file that is there is one of these photos, by this name or another one."""
        try:
            if not file.exists():
                return False
        except OSError:  # its name is longer than one can be
            return False
        files, folders = self._folded
        path, folded = Path(os.path.realpath(file)), folded_path(file)
        return folded in files or any(
            self._reaches(Path(*path.parts[: len(folder.parts)]), path)
            for folder in folders
            if Path(folded).is_relative_to(folder)
        )

    def searches(self, folder: Path) -> bool:
        """Whether this very folder is one of the arguments."""
        return Path(folded_path(folder)) in self._folded[1]

    @cached_property
    def _folded(self) -> tuple[set[str], list[Path]]:
        """The files and the folders of the arguments."""
        given = [path for path in self._given if isinstance(path, Path)]
        files = {folded_path(path) for path in given if not path.is_dir()}
        return files, [Path(folded_path(path)) for path in given if path.is_dir()]

    def _reaches(self, folder: Path, path: Path) -> bool:
        """Whether what is found below a folder has this path."""
        if not path.is_relative_to(folder):
            return False
        parts = path.relative_to(folder).parts
        if path.suffix.lower() not in self._suffixes or any(p.startswith(".") for p in parts):
            return False
        between = [folder.joinpath(*parts[:count]) for count in range(1, len(parts))]
        return not any(p.is_symlink() or self._leaves_out(p) for p in between)

    def _leaves_out(self, folder: Path) -> bool:
        """Whether a folder is that of the results, as the system says: out may be Out there."""
        try:
            return self._without is not None and folder.samefile(self._without)
        except OSError:  # one of them is not there
            return False

    def _below(self, folder: Path) -> Iterator[Found]:
        problems: list[Problem] = []

        def report(error: OSError) -> None:
            problems.append(Problem(str(error.filename), f"can't be listed ({error.strerror})"))

        passed_over, empty = Counter[str](), True
        for parent, folders, files in os.walk(folder, onerror=report):
            below = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
            below = [path for path in below if not self._leaves_out(path)]
            passed_over[_LINKS] += sum(path.is_symlink() for path in below)
            folders[:] = [path.name for path in below]
            files.sort()
            for name in files:
                path = Path(parent, name)
                if name.startswith("."):
                    continue
                if path.suffix.lower() in self._suffixes:
                    empty = False
                    yield Photo(path, path.relative_to(folder))
                elif why := why_passed_over(path.suffix.lower()):
                    passed_over[why] += 1
        if empty and not problems:
            problems.append(Problem(str(folder), "there is no photo in this folder"))
        yield from problems
        if passed_over := +passed_over:  # without the zeros
            counts = sorted(passed_over.items())
            what = ", ".join(f"{n} {kind}{'s' * (kind == _LINKS and n > 1)}" for kind, n in counts)
            yield Note(f"{folder}: passed over {what}")


def _matches(argument: str) -> list[Path | Problem]:
    if os.path.lexists(argument):
        return [Path(argument)]
    if not glob.has_magic(argument):
        name = argument if argument.strip() else repr(argument)
        return [Problem(name, "there is no such file")]
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  # may be absolute
    return [Path(match) for match in matches] or [Problem(argument, "no file matches")]


def folded_path(path: Path) -> str:
    """What a path leads to, with case folded: a and A are one file on many systems."""
    return os.path.realpath(path).casefold()
