"""What the forms of labels have in common: splits, classes, and where photos lie."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from s3fd.data.annotations import AnnotatedImage
from s3fd.messages import shortened, shown


class Labels(NamedTuple):
    """What was read.

    Attributes:
        photos: in the order of the labels.
        split: the one that they are of; None where the labels know no splits: these are all photos.
    """

    photos: list[AnnotatedImage]
    split: str | None


@dataclass(frozen=True)
class Form:
    """One form of labels.

    Attributes:
        holds: whether a folder or a file has labels of this form, by its looks.
        read: gives those of a folder or a file, a split, and some classes (see `face_classes`).
        has_classes: whether labels of this form say what each box is.
    """

    holds: Callable[[Path], bool]
    read: Callable[[Path, str, Sequence[str]], Labels]
    has_classes: bool = False


# --- splits ---------------------------------------------------------------------------------------

_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_of(name: str) -> str | None:
    """The split that a name speaks of: ``"val"`` for ``instances_val2017``; None for none."""
    words = re.findall(r"[a-z]+", name.lower())
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


def is_of_split(name: str, split: str) -> bool:
    """Whether a name speaks of this split, by whatever word for it."""
    return name == split or split_of(name) == _SPLITS.get(split, split)


class NoSplitError(ValueError):
    """The labels have other splits than the one that is asked for."""


def no_split(labels: Path, split: str, there: Iterable[str]) -> NoSplitError:
    """The error that names what there is."""
    return NoSplitError(
        f"{labels}: there is no photo of split {split!r}; there are those of {quoted(there)}"
    )


# --- classes --------------------------------------------------------------------------------------

_FACES = {"face", "faces", "human face", "human faces"}


def face_classes(
    labels: Path, there: Iterable[str], classes: Sequence[str], *, complete: bool = True
) -> set[str]:
    """Which of the classes of some labels are faces.

    Args:
        labels: for messages.
        there: their names.
        classes: the names that the user gave; without any, "face" and its like.
        complete: whether `there` are all that the labels know, not those that occur alone.

    Raises:
        ValueError: none of them is, or one of `classes` is not there.
    """
    names = {name: _plain(name) for name in there}
    wanted = {_plain(name) for name in classes} or _FACES
    faces = {name for name, plain in names.items() if plain in wanted}
    if classes and complete:
        for name in classes:
            if _plain(name) not in names.values():
                raise ValueError(f"classes: {labels} has no {shown(name)}, but {quoted(names)}")
    if names and not faces:
        missing = quoted(classes) if classes else "'face'"
        raise ValueError(
            f"{labels}: no class is called {missing}, but there are {quoted(names)}; name those "
            "that are faces with classes"
        )
    return faces


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def quoted(names: Iterable[str], most: int = 20) -> str:
    """Names in the order of the alphabet, for messages."""
    known = sorted(set(names), key=str.casefold)
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return (", ".join(map(shown, known[:most])) or "none") + more


# --- photos ---------------------------------------------------------------------------------------

_MOST_LOOKED_FOR = 1000


def is_file(path: Path) -> bool:
    """Whether it is a file; false too for names that can't be one, which labels may hold."""
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises for some of them


def is_folder(path: Path) -> bool:
    """Whether it is a folder, likewise."""
    return os.path.isdir(path)  # noqa: PTH112  # as above


def photo_folder(labels: Path, names: Sequence[str], below: Sequence[str]) -> Path:
    """The folder that the names of photos belong to: beside their labels or above, perhaps below.

    Args:
        labels: the file.
        names: of its photos, which need not all be there.
        below: folders in which they may lie.

    Raises:
        FileNotFoundError: not one of the photos is anywhere.
    """
    parents = labels.absolute().parents[:2]
    for folder in (parent / name for parent in parents for name in (*below, ".")):
        if any(is_file(folder / name) for name in names[:_MOST_LOOKED_FOR]):
            return folder
    photo = shortened(names[0]) if names else "photo"
    raise FileNotFoundError(
        f"data: there is no {photo} of {labels} in {parents[0]} or "
        f"{parents[-1]}, nor in {', '.join(below)} there"
    )
