"""FDDB's own evaluation (Jain and Learned-Miller, 2010): discrete and continuous ROC curves.

At each score threshold, in each photo, the detections that remain are assigned to the ellipses one
to one so that the sum of their IoUs is largest. The discrete curve counts an assigned detection as
a true positive if its IoU is above 0.5; the continuous one adds the IoU itself. The rate is their
sum by the number of faces; false positives are the detections without an IoU above 0.5.

Regions are compared as the benchmark's tool compares them: drawn into the photo, cut at its border,
and counted in pixels. It draws with OpenCV, which moves an ellipse's centre to a whole pixel, cuts
its radii to whole pixels and its angle to whole degrees, and fills a polygon with a corner every 5
degrees (every 18, 30 or 90 for radii below 15, 10 or 3), outline included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.data.formats.fddb import FddbPhoto
from s3fd.evaluation.matching import FALSE_POSITIVE
from s3fd.pipeline import available_threads

FloatArray = NDArray[np.float64]

_LEAST_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class RocCurve:
    """True positives against false positives, a point for each score at which anything changes.

    Attributes:
        name: ``"discrete"`` or ``"continuous"``.
        faces: number of faces.
        scores: float64 ``[K]``, falling: point k holds the detections that score this or more.
        false_positives: int64 ``[K]``, their number in the whole set.
        true_positive_rate: float64 ``[K]``, by the number of faces; NaN where there is none.
    """

    name: str
    faces: int
    scores: FloatArray
    false_positives: NDArray[np.int64]
    true_positive_rate: FloatArray

    def at(self, false_positives: int) -> float:
        """The largest rate with no more than so many false positives; 0 for none."""
        within = self.true_positive_rate[self.false_positives <= false_positives]
        return float(within.max(initial=0.0))


@dataclass(frozen=True, eq=False)
class _Progress:
    """What one photo adds to the curves as its threshold falls: a row for each of its scores."""

    scores: FloatArray  # [K]
    discrete: NDArray[np.int64]  # [K]: change in the number of overlaps above 0.5
    continuous: FloatArray  # [K]: change in the sum of overlaps
    detections: NDArray[np.int64]  # [K]: change in the number of detections


@dataclass(frozen=True, eq=False)
class FddbResult:
    """Detections in FDDB's photos, compared with its ellipses.

    Attributes:
        photos: what they are compared with.
        matched: for each photo int64 ``[D_i]``, all detections being kept: the ellipse that a
            detection is assigned to with an IoU above 0.5, or -1.
        clipped: number of photos whose size is known, at whose border regions are cut.
    """

    photos: Sequence[FddbPhoto]
    matched: list[NDArray[np.int64]]
    clipped: int
    _progress: list[_Progress]

    @cached_property
    def discrete(self) -> RocCurve:
        """Of all photos."""
        return self._curves(range(len(self.photos)))[0]

    @cached_property
    def continuous(self) -> RocCurve:
        """Of all photos."""
        return self._curves(range(len(self.photos)))[1]

    def folds(self) -> dict[int, tuple[RocCurve, RocCurve]]:
        """Discrete and continuous curve of each fold; empty where no fold is known."""
        numbers = sorted({photo.fold for photo in self.photos} - {0})
        return {
            number: self._curves(i for i, photo in enumerate(self.photos) if photo.fold == number)
            for number in numbers
        }

    def _curves(self, indices: Iterable[int]) -> tuple[RocCurve, RocCurve]:
        chosen = list(indices)
        faces = sum(len(self.photos[index].ellipses) for index in chosen)
        rows = [self._progress[index] for index in chosen]
        scores = np.concatenate([*(row.scores for row in rows), np.empty(0)])
        order = np.argsort(-scores, kind="stable")
        scores = scores[order]
        last = np.flatnonzero(np.diff(scores, append=-np.inf) != 0)  # of a run of equal scores

        def total(parts: list[NDArray[np.generic]]) -> FloatArray:
            return np.cumsum(np.concatenate([*parts, np.empty(0)])[order])[last]

        found = total([row.discrete for row in rows])
        overlap = total([row.continuous for row in rows])
        false_positives = (total([row.detections for row in rows]) - found).astype(np.int64)
        with np.errstate(invalid="ignore"):
            rates = {
                "discrete": found / np.float64(faces),
                "continuous": overlap / np.float64(faces),
            }
        discrete, continuous = (
            RocCurve(name, faces, scores[last], false_positives, rate)
            for name, rate in rates.items()
        )
        return discrete, continuous


def evaluate_fddb(
    photos: Sequence[FddbPhoto],
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    sizes: Sequence[tuple[int, int] | None] | None = None,
    threads: int | None = None,
) -> FddbResult:
    """Compares detections with FDDB's ellipses, as the benchmark does.

    Args:
        photos: see `read_fddb`.
        detections: for each photo, regions and scores ``[D_i]``, in any order. Regions are boxes
            ``[D_i, 4]``, ``(x1, y1, x2, y2)``, or ellipses ``[D_i, 5]`` as in `FddbPhoto`: the same
            in all photos.
        sizes: height and width of each photo; None where it is not known, and for a photo of which
            it isn't: then nothing is cut at its border.
        threads: None for as many as there are processors to run on.

    Raises:
        TypeError, ValueError: an argument is not as described, NaN and infinite numbers included;
            the message names the photo.
        ImportError: scipy is not installed.
    """
    _check_lengths(photos, detections, sizes)
    regions, scores = _checked(photos, detections)
    known = [None] * len(photos) if sizes is None else list(sizes)
    tables = _overlap_tables(photos, regions, known, threads or available_threads())
    progress, matched = [], []
    for table, values in zip(tables, scores, strict=True):
        steps, last = _follow(table, values)
        progress.append(steps)
        matched.append(last)
    return FddbResult(photos, matched, sum(size is not None for size in known), progress)


def _check_lengths(
    photos: Sequence[FddbPhoto], detections: Sequence[object], sizes: Sequence[object] | None
) -> None:
    for name, value in (("detections", detections), ("sizes", sizes)):
        if value is not None and len(value) != len(photos):
            raise ValueError(
                f"{name}: expected one entry for each of {len(photos)} photos, got {len(value)}"
            )


def _checked(
    photos: Sequence[FddbPhoto], detections: Sequence[tuple[ArrayLike, ArrayLike]]
) -> tuple[list[FloatArray], list[FloatArray]]:
    regions, scores = [], []
    columns: set[int] = set()
    for photo, (shapes, values) in zip(photos, detections, strict=True):
        region, score = np.asarray(shapes, np.float64), np.asarray(values, np.float64)
        if region.size == 0 and score.shape == (0,):
            regions.append(np.empty((0, 0)))
            scores.append(score)
            continue
        if region.ndim != 2 or region.shape[1] not in (4, 5) or score.shape != region.shape[:1]:
            raise ValueError(
                f"detections of {photo.name}: expected boxes [D, 4] or ellipses [D, 5], and scores "
                f"[D], got shapes {list(region.shape)} and {list(score.shape)}"
            )
        if not (np.isfinite(region).all() and np.isfinite(score).all()):
            raise ValueError(f"detections of {photo.name}: expected finite numbers")
        columns.add(region.shape[1])
        regions.append(region)
        scores.append(score)
    if len(columns) > 1:
        raise ValueError("detections: expected boxes in all photos, or ellipses in all")
    width = columns.pop() if columns else 4
    return [region.reshape(-1, width) for region in regions], scores


def _overlap_tables(
    photos: Sequence[FddbPhoto],
    regions: Sequence[FloatArray],
    sizes: Sequence[tuple[int, int] | None],
    threads: int,
) -> list[FloatArray]:
    """For each photo the IoUs ``[faces, detections]``."""
    from s3fd import _arrays

    ellipses = [photo.ellipses for photo in photos]
    width = regions[0].shape[1] if regions else 4
    overlaps = _arrays.region_overlaps(
        np.concatenate([*ellipses, np.empty((0, 5))]),
        np.cumsum([0, *map(len, ellipses)], dtype=np.int64),
        np.concatenate([*regions, np.empty((0, width))]),
        np.cumsum([0, *map(len, regions)], dtype=np.int64),
        np.array([(0, 0) if size is None else size[::-1] for size in sizes], np.int64).reshape(
            -1, 2
        ),
        threads=threads,
    )
    shapes = [(len(faces), len(found)) for faces, found in zip(ellipses, regions, strict=True)]
    ends = np.cumsum([faces * found for faces, found in shapes], dtype=np.int64)
    parts = np.split(overlaps, ends[:-1]) if shapes else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _follow(table: FloatArray, scores: FloatArray) -> tuple[_Progress, NDArray[np.int64]]:
    """Lets the threshold fall through the scores of one photo.

    Returns:
        What changes at each score, and the assignment at the end.
    """
    levels = np.unique(scores)[::-1]
    discrete, continuous = np.zeros(len(levels) + 1, np.int64), np.zeros(len(levels) + 1)
    matched = np.full(len(scores), FALSE_POSITIVE, dtype=np.int64)
    touching = np.asarray((table > 0).any(axis=0))  # [D]: the others change nothing
    for step, level in enumerate(levels, start=1):
        discrete[step], continuous[step] = discrete[step - 1], continuous[step - 1]
        if touching[scores == level].any():
            kept = np.flatnonzero(touching & (scores >= level))
            faces, found, overlaps = _assign(table[:, kept])
            discrete[step] = np.sum(overlaps > _LEAST_OVERLAP)
            continuous[step] = overlaps.sum()
            matched[:] = FALSE_POSITIVE
            good = overlaps > _LEAST_OVERLAP
            matched[kept[found[good]]] = faces[good]
    counts = np.array([np.sum(scores == level) for level in levels], dtype=np.int64)
    return _Progress(levels, np.diff(discrete), np.diff(continuous), counts), matched


def _assign(table: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
    """The one-to-one assignment of rows to columns with the largest sum: rows, columns, values."""
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise ImportError(
            'FDDB\'s assignment is made with scipy: pip install "s3fd[eval]"'
        ) from error
    rows, columns = linear_sum_assignment(table, maximize=True)
    return rows, columns, table[rows, columns]
