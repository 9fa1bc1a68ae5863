"""Reading of detections from files: JSON Lines as ``s3fd detect --json`` writes them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from s3fd.data.formats.text import MALFORMED
from s3fd.file_kinds import PHOTO_SUFFIXES
from s3fd.messages import shortened, shown

Boxes: TypeAlias = NDArray[np.float64]
Scores: TypeAlias = NDArray[np.float64]
Prediction: TypeAlias = tuple[Boxes, Scores]
"""The detections of one image: boxes ``[D, 4]``, ``(x1, y1, x2, y2)``, and scores ``[D]``."""

NO_DETECTIONS: Prediction = (np.empty((0, 4)), np.empty(0))


def is_json(path: Path) -> bool:
    """Whether predictions are in the project's JSON, by the name of the file."""
    return path.suffix in (".json", ".jsonl")


def predictions_file(file: str | Path) -> Path:
    """The path of a file of detections.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder.
    """
    path = Path(file)
    if not path.exists():
        raise FileNotFoundError(f"predictions: {path} does not exist")
    if path.is_dir():
        raise ValueError(f"predictions: expected a file, got the folder {path}")
    return path


def read_json_predictions(file: str | Path, parts: int) -> dict[str, Prediction]:
    """Reads what ``s3fd detect --json FILE`` wrote: an object a line, one for each photo.

    Args:
        file: the JSON Lines.
        parts: how many parts of a photo's path, counted from its end, are its name.

    Returns:
        Boxes and scores by the name of the photo, which has no suffix: with two parts,
        ``0--Parade/0_Parade_marchingband_1_465``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not of that form, tells of a photo that could not be read, or has the
            name of an earlier one; the message names file and line.
    """
    path = predictions_file(file)
    predictions: dict[str, Prediction] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            photo, prediction = _json_prediction(line, where)
            name = image_name(photo, parts)
            if name in predictions:
                raise ValueError(f"{where}: {shortened(name)} comes twice")
            predictions[name] = prediction
    return predictions


def _json_prediction(line: str, where: str) -> tuple[str, Prediction]:
    try:
        record = json.loads(line)
        photo = record["photo"]
        if not isinstance(photo, str):
            raise TypeError(f"photo: expected text, got {shown(photo)}")
        faces = [] if "error" in record else record["faces"]
        rows = [[*face["box"], face["score"]] for face in faces]
        if any(len(row) != 5 for row in rows):
            raise TypeError("a box has four numbers")
        table = np.array(rows, np.float64).reshape(-1, 5)
        boxes, scores = table[:, :4].copy(), table[:, 4].copy()
    except MALFORMED as error:
        raise ValueError(
            f"{where}: expected an object with photo, and faces with box and score, as `s3fd "
            f"detect --json` writes it ({shown(error)})"
        ) from error
    if "error" in record:
        why = shortened(str(record["error"]))
        raise ValueError(f"{where}: {shortened(photo)} was not read ({why}); detect again")
    check_finite(boxes, scores, where)
    return photo, (boxes, scores)


def image_name(path: str, parts: int) -> str:
    """The last parts of a path, without the suffix of a photo."""
    pure = PurePath(path.replace("\\", "/"))
    if pure.suffix.lower() in PHOTO_SUFFIXES:
        pure = pure.with_suffix("")
    return "/".join(pure.parts[-parts:])


class ImageNames:
    """The names of a file's images, for a benchmark in which the last part is to tell them apart.

    One image may be named with and without its folders and its suffix, but two that differ in them
    are not one.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._paths: dict[str, list[PurePath]] = {}

    def name(self, path: str, where: str) -> str:
        """What an image is called, without folders and suffix.

        Args:
            path: as it is written.
            where: it is written, for the message.

        Raises:
            ValueError: another image is called so, too.
        """
        if path not in self._names:
            name, full = image_name(path, 1), PurePath(path.replace("\\", "/"))
            paths = self._paths.setdefault(name, [])
            for other in paths:
                if not _may_be_one(other, full):
                    raise ValueError(
                        f"{where}: {shortened(str(other))} and {shortened(path)} would both be "
                        f"{shortened(name)}: folders and suffixes don't count; rename one of them"
                    )
            paths.append(full)
            self._names[path] = name
        return self._names[path]


def _may_be_one(path: PurePath, other: PurePath) -> bool:
    """Whether two paths of one name are perhaps of one photo: what both of them say is the same."""
    folders = zip(reversed(path.parts[:-1]), reversed(other.parts[:-1]), strict=False)
    suffixes = {path.suffix.lower(), other.suffix.lower()} & PHOTO_SUFFIXES
    return len(suffixes) < 2 and all(one == its for one, its in folders)


def check_finite(boxes: Boxes, scores: Scores, where: str) -> None:
    """Raises `ValueError` where a number is NaN or infinite."""
    for row in np.flatnonzero(~np.isfinite(scores)):
        raise ValueError(f"{where}: the score of detection {row + 1} is {scores[row]}")
    for row in np.flatnonzero(~np.isfinite(boxes).all(axis=1)):
        raise ValueError(f"{where}: the box of detection {row + 1} is not finite")


def in_order(
    predictions: dict[str, Prediction], images: Sequence[str], what: str
) -> tuple[list[Prediction], list[str]]:
    """Puts predictions in the order of a benchmark's images.

    Args:
        predictions: by the name of the image.
        images: all names.
        what: where the predictions are from, for messages.

    Returns:
        A prediction for each image, and the names of the images that have none.

    Raises:
        ValueError: a prediction is for another image, or there is none for any.
    """
    unknown = sorted(predictions.keys() - set(images))
    if unknown:
        name = shortened(unknown[0])
        raise ValueError(
            f"{what}: {name} is no image of the ground truth{suggestion(unknown[0], images)}"
        )
    missing = [name for name in images if name not in predictions]
    if len(missing) == len(images):
        raise ValueError(f"{what}: has no detections for any of the {len(images)} images")
    return [predictions.get(name, NO_DETECTIONS) for name in images], missing


def suggestion(name: str, known: Iterable[str]) -> str:
    """``; did you mean ...?`` with the known name that is like this one, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.8)
    return f"; did you mean {close[0]}?" if close else ""
