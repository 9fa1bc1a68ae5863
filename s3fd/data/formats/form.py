"""What the forms of labels have in common: splits, classes, and where photos lie."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from s3fd.data.annotations import AnnotatedImage
from s3fd.file_kinds import PHOTO_SUFFIXES, photo_suffixes
from s3fd.messages import shortened, shown

_MOST_LOOKED_AT = 20


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


def names_of_split(split: str) -> list[str]:
    """How files and folders of a split may be called: as it is asked for, or by another word."""
    words = [word for word, meant in _SPLITS.items() if meant == _SPLITS.get(split, split)]
    return list(dict.fromkeys([split, *words]))


class NoSplitError(ValueError):
    """The labels have other splits than the one that is asked for."""


def doubt_loose(root: Path, loose: Sequence[Path]) -> None:
    """Says what lies beside the folders of the splits, and so belongs to none."""
    if loose:
        warnings.warn(
            f"{root}: {len(loose)} files that are in no folder of a split are left out, such as "
            f"{shortened(loose[0].name)}",
            stacklevel=2,
        )


def no_split(labels: Path, split: str, there: Iterable[str]) -> NoSplitError:
    """The error that names what there is."""
    return NoSplitError(
        f"{labels}: there is no photo of split {split!r}; there are those of {quoted(there)}"
    )


def any_looks_right(files: Iterable[Path], looks_right: Callable[[Path], bool]) -> bool:
    """Whether one of the first files does, of which some may be something else."""
    return any(map(looks_right, islice(files, _MOST_LOOKED_AT)))


def folders_of_splits(root: Path) -> list[Path]:
    """Folders in which labels lie beside their photos: those of the splits, or `root`."""
    return [f for f in visible(root, "*") if f.is_dir() and split_of(f.name)] or [root]


def labels_of_split(
    root: Path, split: str, pattern: str, looks_right: Callable[[Path], bool]
) -> tuple[list[Path], bool]:
    """The files of labels that lie beside the photos of a split, and whether there are splits.

    Args:
        root: the folder of all, or a single file.
        split: the wanted one.
        pattern: of the files, below `root` or the folders of its splits.
        looks_right: tells labels from other files, such as those of programs.

    Warns:
        UserWarning: there are others, or labels that are in no such folder.

    Raises:
        NoSplitError: there are folders of others.
    """
    if root.is_file():
        return [root], False
    folders = folders_of_splits(root)
    if folders == [root]:
        return _labels_alone(root, visible(root, pattern), looks_right), False
    chosen = [folder for folder in folders if is_of_split(folder.name, split)]
    if not chosen:
        raise no_split(root, split, (folder.name for folder in folders))
    loose = (f for f in visible(root, pattern) if not any(map(f.is_relative_to, folders)))
    doubt_loose(root, list(filter(looks_right, loose)))
    files = [file for folder in chosen for file in visible(folder, pattern)]
    return _labels_alone(root, files, looks_right), True


def _labels_alone(
    root: Path, files: Sequence[Path], looks_right: Callable[[Path], bool]
) -> list[Path]:
    """Those that look like labels, or lie beside a photo of their name, which damaged ones do.

    All, where none does, so that the error of the form says what it expects.
    """
    labels = [file for file in files if looks_right(file) or _has_photo(file)]
    if not labels or len(labels) == len(files):
        return list(files)
    known = set(labels)
    others = [file for file in files if file not in known]
    warnings.warn(
        f"{root}: {len(others)} files that are no labels are left out, such as "
        f"{shortened(others[0].name)}",
        stacklevel=2,
    )
    return labels


def _has_photo(labels: Path) -> bool:
    """Whether a photo of the same name lies beside a file of labels."""
    suffixes = ["", *(each for suffix in PHOTO_SUFFIXES for each in (suffix, suffix.upper()))]
    photos = (labels.with_suffix(suffix) for suffix in suffixes)
    return any(photo.suffix.lower() in PHOTO_SUFFIXES and is_file(photo) for photo in photos)


def chosen_split(file: Path, entries: Sequence[Any], split: str) -> tuple[list[int], bool]:
    """Which of the entries of a JSON file are of a split, and whether they have splits at all.

    Args:
        file: for messages.
        entries: all have a text "split", or none has.
        split: the wanted one.

    Raises:
        NoSplitError: they have others.
        ValueError: some have one, and some don't.
    """
    splits = [entry.get("split") if isinstance(entry, dict) else None for entry in entries]
    there = [name for name in splits if isinstance(name, str)]
    if not there and not any(isinstance(entry, dict) and "split" in entry for entry in entries):
        return list(range(len(entries))), False
    if len(there) < len(entries):
        number = next(n for n, name in enumerate(splits) if not isinstance(name, str))
        raise ValueError(
            f"{file}: images[{number}] has no text as its split, as others have; give all images "
            "one, or none"
        )
    chosen = [number for number, name in enumerate(there) if is_of_split(name, split)]
    if not chosen:
        raise no_split(file, split, there)
    return chosen, True


# --- classes --------------------------------------------------------------------------------------

_FACES = {"face", "faces", "human face", "human faces"}


def face_classes(
    labels: Path,
    there: Iterable[str],
    classes: Sequence[str],
    *,
    complete: bool = True,
    argument: str = "classes",
) -> set[str]:
    """Which of the classes of some labels are faces.

    Args:
        labels: for messages.
        there: their names.
        classes: the names that the user gave; without any, "face" and its like.
        complete: whether `there` are all that the labels know, not those that occur alone.
        argument: what the user knows `classes` as.

    Raises:
        ValueError: none of them is, or one of `classes` is not there.
    """
    names = {name: _plain(name) for name in there}
    wanted = {_plain(name) for name in classes} or _FACES
    faces = {name for name, plain in names.items() if plain in wanted}
    if classes and complete:
        for name in classes:
            if _plain(name) not in names.values():
                raise ValueError(f"{argument}: {labels} has no {shown(name)}, but {quoted(names)}")
    if names and not faces:
        missing = quoted(classes) if classes else "'face'"
        raise ValueError(
            f"{labels}: no class is called {missing}, but there are {quoted(names)}; name those "
            f"that are faces with {argument}"
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


def visible(folder: Path, pattern: str) -> list[Path]:
    """What is below a folder and matches, sorted, without what is hidden.

    macOS leaves a ``._a.jpg`` beside every ``a.jpg`` on other systems' disks, and notebooks keep
    second copies in ``.ipynb_checkpoints``.
    """
    found = (path.relative_to(folder) for path in folder.glob(pattern))
    return sorted(
        folder / path for path in found if not any(part.startswith(".") for part in path.parts)
    )


def photo_beside(folder: Path, written: str, labels: Path) -> Path:
    """The photo of a file of labels that has only one.

    Photos are moved and renamed together with their labels, whatever these go on saying.

    Args:
        folder: where photos are.
        written: what the labels say of its path; of Windows, perhaps, or without a suffix.
        labels: the file.

    Returns:
        That path if there is such a file, or else one of the labels' own name if there is that.
    """
    path = folder / PureWindowsPath(written).as_posix()
    if is_file(path):
        return path
    own = folder / labels.stem
    if own.suffix.lower() not in PHOTO_SUFFIXES:  # as a.jpg.xml has it
        own = own.with_name(f"{own.name}{path.suffix}")
    suffixes = () if path.suffix else sorted(photo_suffixes())
    candidates = [own, *(p.with_name(p.name + suffix) for p in (path, own) for suffix in suffixes)]
    return next((candidate for candidate in candidates if is_file(candidate)), path)


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
