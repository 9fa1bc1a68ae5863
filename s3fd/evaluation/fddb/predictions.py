"""Reading of detections for FDDB: the benchmark's own text form, and the project's JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.fddb import numbered_lines
from s3fd.evaluation.predictions import (
    Prediction,
    check_finite,
    in_order,
    is_json,
    read_json_predictions,
)

_PARTS = 5  # of a name: 2002/08/11/big/img_591


def read_fddb_predictions(
    file: str | Path, names: Sequence[str]
) -> tuple[list[Prediction], list[str]]:
    """Reads detections in FDDB's photos.

    Args:
        file: the benchmark's text form, for each photo its name, the number of detections, and a
            line for each: ``x y width height score``, or ``major minor angle x y score`` of an
            ellipse. Or a file of ``s3fd detect --json`` (``.json`` or ``.jsonl``), whose photos are
            ``.../2002/08/11/big/img_591.jpg``.
        names: those of the photos that are evaluated.

    Returns:
        For each name, boxes ``[D, 4]``, ``(x1, y1, x2, y2)``, or ellipses ``[D, 5]``, with scores
        ``[D]``; and the names that have no detections in the file, not even none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is malformed, has NaN or infinite numbers, or both rectangles and ellipses;
            the message names file and line. Photos that are not among `names` are passed over, but
            there has to be one that is.
    """
    path = Path(file)
    predictions = read_json_predictions(path, _PARTS) if is_json(path) else _read_text(path)
    wanted = {name: predictions[name] for name in names if name in predictions}
    return in_order(wanted, names, str(path))


def _read_text(path: Path) -> dict[str, Prediction]:
    predictions: dict[str, Prediction] = {}
    columns: set[int] = set()
    lines = numbered_lines(path)
    for number, name in lines:
        if name in predictions:
            raise ValueError(f"{path}:{number}: {name} comes twice")
        if len(name.split()) > 1:
            raise ValueError(
                f"{path}:{number}: expected the name of a photo, got {name!r}; is the number of "
                "detections above wrong?"
            )
        predictions[name] = _prediction(path, name, number, lines, columns)
    return predictions


def _prediction(
    path: Path, name: str, number: int, lines: Iterator[tuple[int, str]], columns: set[int]
) -> Prediction:
    """The rows of one photo; `columns` collects how many numbers a row has."""
    number, count = next(lines, (number + 1, "the end of the file"))
    if not count.isdecimal():
        raise ValueError(
            f"{path}:{number}: expected the number of detections in {name}, got {count}"
        )
    rows = []
    for index in range(int(count)):
        number, text = next(lines, (number + 1, "the end of the file"))
        row = _numbers(text)
        if len(row) not in (5, 6):
            raise ValueError(
                f"{path}:{number}: detection {index + 1} of {count} in {name}: expected x y width "
                f"height score, or major minor angle x y score, got {text}"
            )
        columns.add(len(row))
        if len(columns) > 1:
            raise ValueError(f"{path}:{number}: expected rectangles alone, or ellipses alone")
        rows.append(row)
    table = np.array(rows, np.float64) if rows else np.empty((0, 5))
    regions, scores = _regions(table), table[:, -1]
    check_finite(regions, scores, f"{path}: {name}")
    return regions, scores


def _regions(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The regions of rows with a score at their end: ellipses, or boxes of rectangles."""
    regions: NDArray[np.float64] = table[:, :-1].copy()
    if regions.shape[1] == 4:
        regions[:, 2:] += regions[:, :2]
    return regions


def _numbers(text: str) -> list[float]:
    """The numbers of a line; none where it holds anything else."""
    try:
        return [float(value) for value in text.split()]
    except ValueError:
        return []
