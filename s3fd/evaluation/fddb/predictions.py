"""Reading of detections for FDDB: the benchmark's own text form, and the project's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.text import Row, numbers, read_listing
from s3fd.evaluation.predictions import (
    Prediction,
    check_finite,
    in_order,
    is_json,
    predictions_file,
    read_json_predictions,
)
from s3fd.messages import shortened

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
    path = predictions_file(file)
    predictions = read_json_predictions(path, _PARTS) if is_json(path) else _read_text(path)
    wanted = {name: predictions[name] for name in names if name in predictions}
    return in_order(wanted, names, str(path))


def _read_text(path: Path) -> dict[str, Prediction]:
    predictions: dict[str, Prediction] = {}
    columns: set[int] = set()  # how many numbers a line has
    for name, rows in read_listing(path, "detection"):
        values = [_row(row, columns) for row in rows]
        table = np.array(values, np.float64) if values else np.empty((0, 5))
        regions, scores = _regions(table), table[:, -1]
        check_finite(regions, scores, f"{path}: {name}")
        predictions[name] = regions, scores
    return predictions


def _row(row: Row, columns: set[int]) -> list[float]:
    """The numbers of a line; `columns` collects how many a line has."""
    values = numbers(row.text)
    if len(values) not in (5, 6):
        raise ValueError(
            f"{row.where}: expected x y width height score, or major minor angle x y score, got "
            f"{shortened(row.text)}"
        )
    columns.add(len(values))
    if len(columns) > 1:
        raise ValueError(f"{row.where}: expected rectangles alone, or ellipses alone")
    return values


def _regions(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """The regions of rows with a score at their end: ellipses, or boxes of rectangles."""
    regions: NDArray[np.float64] = table[:, :-1].copy()
    if regions.shape[1] == 4:
        with np.errstate(over="ignore"):  # what isn't finite is refused
            regions[:, 2:] += regions[:, :2]
    return regions
