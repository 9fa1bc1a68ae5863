"""AFW and PASCAL faces: average precision as PASCAL VOC computes it (Everingham et al., 2010).

By falling score, a detection is judged by the face of its image that it overlaps most, areas
counted in pixels. From IoU 0.5 on it has found that face, unless an earlier one has; if the face is
one to ignore ("difficult"), the detection counts neither way. All else are false positives. The
average precision is the area under the curve by VOC's rule since 2010.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.data.formats.fddb import numbered_lines
from s3fd.evaluation.average_precision import PrecisionRecall
from s3fd.evaluation.matching import check_detections, check_iou_threshold
from s3fd.evaluation.pixel_overlaps import pixel_overlaps
from s3fd.evaluation.predictions import (
    Prediction,
    image_name,
    in_order,
    is_json,
    read_json_predictions,
)


@dataclass(frozen=True, eq=False)
class PascalVocImage:
    """The faces of one image.

    Attributes:
        name: of its file, without suffix.
        boxes: float64 ``[G, 4]``, ``(x1, y1, x2, y2)``, first and last pixel.
        counted: bool ``[G]``; False for faces to ignore.
    """

    name: str
    boxes: NDArray[np.float64]
    counted: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PascalVocResult:
    """Detections compared with the faces of a set of images.

    Attributes:
        curve: precision, recall and average precision. Detections of one score enter together.
        matched: for each image int64 ``[D_i]``: index of the face that a detection finds, -1 for a
            false positive, -2 where it counts neither way.
        iou_threshold: the least overlap that finds a face.
    """

    curve: PrecisionRecall
    matched: list[NDArray[np.int64]]
    iou_threshold: float


def evaluate_pascal_voc(
    images: Sequence[PascalVocImage],
    detections: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    iou_threshold: float = 0.5,
) -> PascalVocResult:
    """Compares detections with faces by PASCAL VOC's rules.

    Args:
        images: see `read_pascal_voc`.
        detections: for each image, boxes ``[D_i, 4]``, ``(x1, y1, x2, y2)``, and scores ``[D_i]``,
            in any order. Equal scores keep their order.
        iou_threshold: the least overlap that finds a face, in (0, 1].

    Raises:
        TypeError, ValueError: an argument is not as described; the message names the image.

    Example:
        >>> face = np.array([[10.0, 10.0, 29.0, 29.0]])
        >>> image = PascalVocImage("group", face, np.array([True]))
        >>> evaluate_pascal_voc([image], [(face, [0.9])]).curve.average_precision
        1.0
    """
    check_iou_threshold(iou_threshold)
    if len(detections) != len(images):
        raise ValueError(
            f"detections: expected one pair for each of {len(images)} images, got {len(detections)}"
        )
    checked = [
        check_detections(f"detections of {image.name}", pair)
        for image, pair in zip(images, detections, strict=True)
    ]
    counted = np.concatenate([*(image.counted for image in images), np.empty(0, bool)])
    overlaps = pixel_overlaps(
        [boxes for boxes, _ in checked],
        [scores for _, scores in checked],
        np.concatenate([*(image.boxes for image in images), np.empty((0, 4))]),
        np.cumsum([0, *(len(image.boxes) for image in images)], dtype=np.int64),
    )
    outcome = overlaps.judge(counted, iou_threshold)
    kept = outcome >= 0
    curve = PrecisionRecall.from_outcomes(
        overlaps.scores[kept], outcome[kept] > 0, int(counted.sum())
    )
    matched = overlaps.matched(outcome) if len(images) else []
    return PascalVocResult(curve, matched, iou_threshold)


def read_pascal_voc(path: str | Path, label: str = "face") -> list[PascalVocImage]:
    """Reads the faces of a set of images.

    Args:
        path: a folder of PASCAL VOC's XML files, one an image, whose ``difficult`` objects are to
            ignore; or a text file of lines ``image x1 y1 x2 y2``, one a face, with a 1 after it if
            it is to ignore, and the name alone for an image without faces.
        label: objects of the XML files with another name are passed over.

    Raises:
        FileNotFoundError: there is nothing at `path`, or the folder has no XML file.
        ValueError: a file is malformed; the message names it, and the line.
    """
    root = Path(path)
    if root.is_dir():
        files = sorted(root.glob("*.xml"))
        if not files:
            raise FileNotFoundError(f"ground_truth: there is no .xml file in {root}")
        return [_image(file.stem, _read_xml(file, label)) for file in files]
    if not root.is_file():
        raise FileNotFoundError(f"ground_truth: {root} does not exist")
    rows: dict[str, list[list[float]]] = {}
    for number, line in numbered_lines(root):
        name, *fields = line.split()
        faces = rows.setdefault(image_name(name, 1), [])
        if fields:
            values = _numbers(fields)
            if len(values) not in (4, 5) or values[4:] not in ([], [0], [1]):
                raise ValueError(
                    f"{root}:{number}: expected image x1 y1 x2 y2, and a 1 for a face to ignore, "
                    f"got {line}"
                )
            faces.append([*values, 0.0][:5])
    return [_image(name, faces) for name, faces in rows.items()]


def _image(name: str, rows: list[list[float]]) -> PascalVocImage:
    table = np.array(rows, np.float64).reshape(-1, 5)
    return PascalVocImage(name, table[:, :4], table[:, 4] == 0)


def _read_xml(file: Path, label: str) -> list[list[float]]:
    """Boxes, and 1 where they are to ignore."""
    rows = []
    try:
        for item in ElementTree.parse(file).getroot().iter("object"):
            if item.findtext("name") == label:
                corners = [
                    item.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")
                ]
                row = [float(corner or "") for corner in corners]
                rows.append([*row, float(item.findtext("difficult") or 0)])
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(
            f"{file}: expected PASCAL VOC's XML, objects with a bndbox ({error})"
        ) from error
    if not np.isfinite(np.array(rows)).all():
        raise ValueError(f"{file}: expected finite numbers")
    return rows


def read_pascal_voc_predictions(
    file: str | Path, names: Sequence[str]
) -> tuple[list[Prediction], list[str]]:
    """Reads detections.

    Args:
        file: lines ``image score x1 y1 x2 y2``; or a file of ``s3fd detect --json`` (``.json`` or
            ``.jsonl``). Images are named by their file, with or without suffix and folder.
        names: those of the images, in the order of the answer.

    Returns:
        For each name boxes ``[D, 4]`` and scores ``[D]``; and the names that are not in the file,
        which in the text form may just mean that nothing was found.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is malformed, has NaN or infinite numbers, or is of an image that is not
            among `names`; the message names file and line.
    """
    path = Path(file)
    if is_json(path):
        return in_order(read_json_predictions(path, parts=1), names, str(path))
    rows: dict[str, list[list[float]]] = {}
    for number, line in numbered_lines(path):
        name, *fields = line.split()
        values = _numbers(fields)
        if len(values) != 5:
            raise ValueError(f"{path}:{number}: expected image score x1 y1 x2 y2, got {line}")
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{path}:{number}: expected finite numbers, got {line}")
        rows.setdefault(image_name(name, 1), []).append(values)
    predictions = {}
    for name, found in rows.items():
        table = np.array(found, np.float64)
        predictions[name] = (table[:, 1:], table[:, 0])
    return in_order(predictions, names, str(path))


def _numbers(fields: Sequence[str]) -> list[float]:
    """The numbers of some fields; none where one is anything else."""
    try:
        return [float(field) for field in fields]
    except ValueError:
        return []
