"""Running a detector for ``s3fd evaluate``."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import s3fd
from s3fd.commands.options import DetectorOptions
from s3fd.commands.outputs import progress_bar

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

    def __init__(self, model: str, options: DetectorOptions) -> None:
        from s3fd.evaluation.photos import LOWEST_SCORE

        self._detector = options.detector(model)
        self._search = options.settings(score_threshold=LOWEST_SCORE)
        self.settings: dict[str, Any] = {
            "model": model,
            "device": str(self._detector.device),
            "precision": self._detector.precision,
            "score_threshold": LOWEST_SCORE,
            **options.record(),
            "s3fd": s3fd.__version__,
        }
        self.seconds = 0.0

    def evaluate(self, photos: Sequence[AnnotatedImage]) -> Evaluation:
        """Finds the faces of labelled photos, and compares them with the labels."""
        from s3fd.evaluation import evaluate_detections

        with closing(self._stream([photo.path for photo in photos])) as found:
            result = evaluate_detections(found, photos)
        self.seconds = result.seconds
        return result

    def find(self, photos: Sequence[Path]) -> list[Detections]:
        """Finds the faces of photos."""
        start = time.perf_counter()
        found = list(self._stream(photos))
        self.seconds = time.perf_counter() - start
        return found

    def _stream(self, photos: Sequence[Path]) -> Generator[Detections, None, None]:
        """The faces of photos as they are found."""
        with (
            progress_bar("photos") as progress,
            closing(self._detector.stream(photos, **self._search)) as results,
        ):
            task = progress.add_task("", total=len(photos))
            for faces in results:
                yield faces
                progress.advance(task)


def as_predictions(found: Sequence[Detections]) -> list[Prediction]:
    """Detections in the form of those that are read from files: arrays, in double precision."""
    pairs = (detections.numpy() for detections in found)
    return [(boxes.astype(float), scores.astype(float)) for boxes, scores in pairs]
