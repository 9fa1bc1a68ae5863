"""Reading of detections for AFW and PASCAL faces: VOC's text form, and the project's JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from s3fd.data.formats.pascal_voc import PIXELS_OF_VOC
from s3fd.data.formats.text import numbered_lines, numbers
from s3fd.evaluation.predictions import (
    ImageNames,
    Prediction,
    in_order,
    is_json,
    predictions_file,
    read_json_predictions,
)
from s3fd.messages import shortened


def in_voc_pixels(found: Sequence[tuple[ArrayLike, ArrayLike]]) -> list[Prediction]:
    """Detections of this package as VOC would write them.

    VOC counts pixels from 1, and both corners are pixels of the box. Boxes here are continuous, and
    would overlap an exact label of 4 pixels by no more than 0.64.

    Args:
        found: for each image boxes ``[D, 4]``, ``(x1, y1, x2, y2)``, and scores ``[D]``.

    Example:
        >>> ((boxes, scores),) = in_voc_pixels([([[10.0, 10.0, 14.0, 14.0]], [0.9])])
        >>> boxes.tolist()
        [[11.0, 11.0, 14.0, 14.0]]
    """
    return [
        (np.asarray(boxes, np.float64).reshape(-1, 4) + PIXELS_OF_VOC, np.asarray(scores, float))
        for boxes, scores in found
    ]


def read_pascal_voc_predictions(
    file: str | Path, names: Sequence[str]
) -> tuple[list[Prediction], list[str]]:
    """Reads detections.

    Args:
        file: lines ``image score x1 y1 x2 y2``, in VOC's pixels; or a file of ``s3fd detect
            --json`` (``.json`` or ``.jsonl``), which become those (see `in_voc_pixels`). Images are
            named by their file, with or without suffix and folder.
        names: those of the images, in the order of the answer.

    Returns:
        For each name boxes ``[D, 4]`` and scores ``[D]``; and the names that are not in the file,
        which in the text form may just mean that nothing was found.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed, has NaN or infinite numbers, or is of an image that is not
            among `names`, or of another one than an earlier line that differs in folder or suffix
            alone; the message names file and line.
    """
    path = predictions_file(file)
    if is_json(path):
        found, missing = in_order(read_json_predictions(path, parts=1), names, str(path))
        return in_voc_pixels(found), missing
    short = ImageNames()
    rows: dict[str, list[list[float]]] = {}
    for number, line in numbered_lines(path):
        photo, *fields = line.split()
        values = numbers(" ".join(fields))
        if len(values) != 5:
            raise ValueError(
                f"{path}:{number}: expected image score x1 y1 x2 y2, got {shortened(line)}"
            )
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{path}:{number}: expected finite numbers, got {shortened(line)}")
        rows.setdefault(short.name(photo, f"{path}:{number}"), []).append(values)
    predictions = {}
    for name, lines in rows.items():
        table = np.array(lines, np.float64)
        predictions[name] = (table[:, 1:], table[:, 0])
    return in_order(predictions, names, str(path))
