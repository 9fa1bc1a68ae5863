"""Reading of predictions for WIDER FACE: the benchmark's own text form, and the project's JSON."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s3fd.evaluation.predictions import (
    NO_DETECTIONS,
    Prediction,
    check_finite,
    image_name,
    in_order,
    is_json,
    read_json_predictions,
    suggestion,
)
from s3fd.evaluation.wider_face.ground_truth import WiderFaceGroundTruth
from s3fd.messages import shown
from s3fd.pipeline import available_threads


@dataclass(frozen=True, eq=False)
class WiderFacePredictions:
    """Detections on the images of WIDER FACE.

    Attributes:
        detections: boxes ``[D_i, 4]`` and scores ``[D_i]`` of each image, in the order of the
            ground truth.
        missing: names of images without a prediction, which count as images without detections.
    """

    detections: list[Prediction]
    missing: list[str]


def read_wider_face_predictions(
    path: str | Path, ground_truth: WiderFaceGroundTruth
) -> WiderFacePredictions:
    """Reads predictions for WIDER FACE's validation set.

    Args:
        path: a folder of the benchmark's form, or a file of ``s3fd detect --json`` (``.json`` or
            ``.jsonl``), whose photos are ``.../EVENT/IMAGE.jpg``. The folder holds a folder for
            each event, and in it a text file for each image: its name, the number of detections,
            and a line ``x y width height score`` for each.
        ground_truth: see `read_wider_face`.

    Returns:
        The detections, and the images that have none. x2 is x + width, as the benchmark's tool
        takes it.

    Raises:
        FileNotFoundError: there is nothing at `path`, or an event has no folder.
        ValueError: a file is empty, truncated, malformed, has another number of detections than it
            says, names another image, has NaN or infinite numbers, or belongs to no image. The
            message names the file.
    """
    root = Path(path)
    if is_json(root):
        predictions = read_json_predictions(root, parts=2)
        return WiderFacePredictions(*in_order(predictions, ground_truth.images, str(root)))
    if not root.is_dir():
        raise FileNotFoundError(
            f"predictions: {root} does not exist; expected a folder with one for each event, or a "
            "file of `s3fd detect --json`"
        )
    _check_names(root, ground_truth)
    with ThreadPoolExecutor(available_threads()) as pool:
        found = list(pool.map(lambda name: _read(root / f"{name}.txt", name), ground_truth.images))
    pairs = zip(ground_truth.images, found, strict=True)
    missing = [name for name, prediction in pairs if prediction is None]
    if len(missing) == len(found):
        raise ValueError(f"{root}: has no prediction for any image")
    return WiderFacePredictions([p if p is not None else NO_DETECTIONS for p in found], missing)


def _check_names(root: Path, ground_truth: WiderFaceGroundTruth) -> None:
    """Finds events that are missing, and files that belong to no image."""
    folders = {entry.name for entry in root.iterdir() if entry.is_dir()}
    known = set(ground_truth.images)
    for event in ground_truth.events:
        if event not in folders:
            others = folders - set(ground_truth.events)
            raise FileNotFoundError(
                f"predictions: {root / event} does not exist, but is an event of the ground truth"
                f"{suggestion(event, others)}"
            )
        for file in sorted((root / event).glob("*.txt")):
            name = f"{event}/{file.stem}"
            if name not in known and not file.name.startswith("."):
                raise ValueError(f"{file}: belongs to no image{suggestion(name, known)}")


def _read(file: Path, name: str) -> Prediction | None:
    """One image's detections; None where there is no file."""
    from s3fd import _arrays

    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    header = text.split(b"\n", 2)
    first, count = (line.decode("utf-8-sig", "replace").strip() for line in [*header, b"", b""][:2])
    if not text.strip():
        raise ValueError(f"{file}: is empty; expected the image's name and number of detections")
    if image_name(first, 1) != name.split("/")[1]:
        raise ValueError(f"{file}:1: expected the name of its image, got {shown(first)}")
    if not count.isdecimal():
        raise ValueError(f"{file}:2: expected the number of detections, got {shown(count)}")
    start = len(text) - len(header[2]) if len(header) == 3 else len(text)
    rows, wrong = _arrays.read_number_lines(text, start=start, columns=5)
    if wrong >= 0:
        line = header[2].split(b"\n")[wrong].decode("utf-8", "replace").strip()
        raise ValueError(f"{file}:{wrong + 3}: expected x y width height score, got {shown(line)}")
    if len(rows) != int(count):
        raise ValueError(
            f"{file}: says {int(count)} detections, but has {len(rows)}: it is truncated or "
            "wrongly counted"
        )
    boxes, scores = rows[:, :4].copy(), rows[:, 4].copy()
    with np.errstate(over="ignore"):  # what isn't finite is refused
        boxes[:, 2:] += boxes[:, :2]
    check_finite(boxes, scores, str(file))
    return boxes, scores
