"""FDDB, the Face Detection Data Set and Benchmark (Jain and Learned-Miller, 2010).

Its faces are ellipses, in ten folds of photos. `s3fd.evaluation.fddb` compares detections with
them as the benchmark does. `FddbPhoto.annotated` has the boxes around them, for an average
precision like that of other photos, which is another measure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import Form, Labels, is_file
from s3fd.data.formats.text import Row, numbered_lines, numbers, read_listing
from s3fd.messages import shortened


@dataclass(frozen=True, eq=False)
class FddbPhoto:
    """One photo of the benchmark.

    Attributes:
        name: as in the lists, such as ``2002/08/11/big/img_591``.
        fold: 1 to 10; 0 where no list tells.
        path: its file, which need not exist.
        ellipses: float64 ``[N, 5]``, the faces: major radius, minor radius, angle of the major
            axis to the x axis in radians, centre x, centre y, in pixels.
    """

    name: str
    fold: int
    path: Path
    ellipses: NDArray[np.float64]

    def annotated(self) -> AnnotatedImage:
        """The photo with boxes around its ellipses."""
        return annotated_image(self.path, ellipse_boxes(self.ellipses))


def ellipse_boxes(ellipses: NDArray[np.float64]) -> NDArray[np.float32]:
    """The smallest upright boxes around ellipses.

    They are not clipped: an ellipse that leaves the photo, as the annotators drew many, has a box
    that leaves it too.

    Args:
        ellipses: ``[N, 5]``, see `FddbPhoto`.

    Returns:
        float32 ``[N, 4]``, ``(x1, y1, x2, y2)``.

    Example:
        >>> ellipse_boxes(np.array([[20.0, 10.0, 0.0, 50.0, 60.0]]))
        array([[30., 50., 70., 70.]], dtype=float32)
    """
    major, minor, angle, x, y = ellipses.T  # 5 x [N]
    half_width = np.hypot(major * np.cos(angle), minor * np.sin(angle))
    half_height = np.hypot(major * np.sin(angle), minor * np.cos(angle))
    sides = [x - half_width, y - half_height, x + half_width, y + half_height]
    return np.stack(sides, axis=1).astype(np.float32)


def read_fddb(
    root: str | Path, folds: Sequence[int] | None = None, annotations: str | Path | None = None
) -> list[FddbPhoto]:
    """Reads the lists of photos and faces of FDDB's folds.

    Args:
        root: the folder with the benchmark's own lists, ``folds/FDDB-fold-01.txt`` (names of
            photos) and ``folds/FDDB-fold-01-ellipseList.txt`` (for each photo its name, the number
            of faces, and a line for each: the five numbers of an ellipse, and a 1), and the photos,
            ``images/NAME.jpg``.
        folds: from 1 to 10; None for all whose lists are there.
        annotations: a file of all photos' ellipses, in the form of the lists, to be used instead of
            those of the folds. Without `folds`, all its photos are read, whether a list of `root`
            says their fold or not.

    Returns:
        The photos in the order of the lists, or of `annotations`; those too whose file is missing.

    Raises:
        FileNotFoundError: there are no lists, or not those of a fold that is asked for.
        ValueError: a list is malformed (the message names file and line), the two lists of a fold
            name different photos, `annotations` lacks a photo of a fold that is asked for, or
            `folds` is not as above.
    """
    lists = Path(root) / "folds"
    numbers = _listed_folds(lists) if folds is None else list(folds)
    if not numbers and annotations is None:
        raise FileNotFoundError(
            f"data: there is no {lists / 'FDDB-fold-01.txt'} or list of another fold; name "
            "the folder that holds folds/ and images/"
        )
    if any(fold not in range(1, 11) for fold in numbers) or len(set(numbers)) != len(numbers):
        raise ValueError(f"folds: expected different numbers from 1 to 10, got {numbers}")
    fold_of: dict[str, int] = {}
    ellipses = {} if annotations is None else read_ellipses(Path(annotations))
    for fold in numbers:
        names = _read_names(lists / f"FDDB-fold-{fold:02d}.txt")
        fold_of |= dict.fromkeys(names, fold)
        if annotations is None:
            ellipses |= _ellipses_of_fold(lists, fold, names)
    order = list(ellipses) if folds is None and annotations is not None else list(fold_of)
    if absent := [name for name in order if name not in ellipses]:
        raise ValueError(f"{annotations}: has no faces of {shortened(absent[0])}, not even none")
    return [
        FddbPhoto(name, fold_of.get(name, 0), Path(root) / "images" / f"{name}.jpg", ellipses[name])
        for name in order
    ]


def _listed_folds(lists: Path) -> list[int]:
    found = (re.fullmatch(r"FDDB-fold-(\d\d)\.txt", path.name) for path in lists.glob("*.txt"))
    return sorted(int(match[1]) for match in found if match is not None)


def _ellipses_of_fold(
    lists: Path, fold: int, names: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    file = lists / f"FDDB-fold-{fold:02d}-ellipseList.txt"
    ellipses = read_ellipses(file)
    if only_in_one := sorted(ellipses.keys() ^ set(names)):
        raise ValueError(
            f"{file}: names other photos than FDDB-fold-{fold:02d}.txt beside it: "
            f"{shortened(only_in_one[0])} is in one of them alone"
        )
    return ellipses


def _read_names(file: Path) -> list[str]:
    names: dict[str, None] = {}
    for number, name in numbered_lines(file):
        if name in names:
            raise ValueError(f"{file}:{number}: {shortened(name)} comes twice")
        names[name] = None
    return list(names)


def read_ellipses(file: Path) -> dict[str, NDArray[np.float64]]:
    """Reads a list of photos with their ellipses: name, number of faces, and a line for each.

    Returns:
        By the photo's name, ``[N, 5]`` as in `FddbPhoto`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is malformed; the message names file and line.
    """
    return {
        name: np.array([_ellipse(row) for row in rows], np.float64).reshape(-1, 5)
        for name, rows in read_listing(file, "face")
    }


def _ellipse(row: Row) -> list[float]:
    values = numbers(row.text)
    if len(values) != 6 or not all(map(math.isfinite, values)):
        raise ValueError(
            f"{row.where}: expected major radius, minor radius, angle, centre x, centre y and a 1, "
            f"got {shortened(row.text)}"
        )
    if min(values[:2]) <= 0:
        raise ValueError(f"{row.where}: expected radii above 0, got {shortened(row.text)}")
    return values[:5]


def _holds(root: Path) -> bool:
    return any(root.glob("folds/FDDB-fold-*.txt"))


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    """All photos whose file is there."""
    photos = read_fddb(root)
    there = [photo.annotated() for photo in photos if is_file(photo.path)]
    if photos and not there:
        first = shortened(str(photos[0].path), 200)
        raise FileNotFoundError(
            f"data: not one of the {len(photos)} photos is there, such as {first}"
        )
    return Labels(there, None)


FDDB = Form(_holds, _read)
