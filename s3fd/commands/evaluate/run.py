"""Running a detector for ``s3fd evaluate``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import s3fd
from s3fd.commands.options import face_finder, load_detector

if TYPE_CHECKING:
    from s3fd.data import AnnotatedImage
    from s3fd.detections import Detections
    from s3fd.evaluation import Evaluation
    from s3fd.evaluation.predictions import Prediction


class DetectorRun:
    """A detector and its settings, as the options say them.

    Attributes:
        settings: for the record of a run.
        seconds: that the last search for faces took.
    """

    def __init__(
        self,
        model: str,
        device: str | None,
        *,
        max_size: int,
        min_face: float,
        batch_size: int,
        multi_scale: bool,
        max_pixels: int,
        drop_single: bool,
    ) -> None:
        from s3fd.evaluation.photos import LOWEST_SCORE

        detector = load_detector(model, device)
        self._find = face_finder(
            detector,
            score_threshold=LOWEST_SCORE,
            max_size=max_size,
            min_face=min_face,
            batch_size=batch_size,
            multi_scale=multi_scale,
            max_pixels=max_pixels,
            drop_single=drop_single,
        )
        scales: dict[str, Any] = {"max_size": max_size or None}
        if multi_scale:
            scales = {"max_pixels": max_pixels, "drop_single": drop_single}
        self.settings: dict[str, Any] = {
            "model": model,
            "device": str(detector.device),
            "score_threshold": LOWEST_SCORE,
            "multi_scale": multi_scale,
            **scales,
            "min_face": min_face or None,
            "batch_size": batch_size,
            "s3fd": s3fd.__version__,
        }
        self.seconds = 0.0

    def evaluate(self, photos: Sequence[AnnotatedImage]) -> Evaluation:
        """Finds the faces of labelled photos, and compares them with the labels."""
        from s3fd.evaluation import evaluate_detector

        with _progress() as progress:
            task = progress.add_task("", total=len(photos))
            result = evaluate_detector(
                self._find, photos, advance=lambda done: progress.advance(task, done)
            )
        self.seconds = result.seconds
        return result

    def find(self, photos: Sequence[Path]) -> list[Detections]:
        """Finds the faces of photos."""
        from s3fd.evaluation.photos import find_faces
        from s3fd.images import read_image

        start = time.perf_counter()
        with _progress() as progress:
            task = progress.add_task("", total=len(photos))
            found = find_faces(
                self._find, photos, read_image, advance=lambda done: progress.advance(task, done)
            )
        self.seconds = time.perf_counter() - start
        return found


def as_predictions(found: Sequence[Detections]) -> list[Prediction]:
    """Detections in the form of those that are read from files: arrays, in double precision."""
    pairs = (detections.numpy() for detections in found)
    return [(boxes.astype(float), scores.astype(float)) for boxes, scores in pairs]


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.completed} of {task.total} photos"),
        BarColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
