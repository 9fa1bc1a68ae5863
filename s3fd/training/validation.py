"""Average precision on held-out photos, in the midst of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s3fd.data import AnnotatedImage
from s3fd.detector import FaceDetector
from s3fd.evaluation import PrecisionRecall, average_precision
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.models import S3FD
from s3fd.training.config import TrainingConfig
from s3fd.training.distributed import Processes
from s3fd.training.events import Events
from s3fd.training.photos import REMEDY


@dataclass(frozen=True)
class Validation:
    """Photos that the training does not see, shared out among its processes.

    Attributes:
        photos: all of them.
        max_size: photos whose longest side is larger are shrunk to it, in pixels.
        processes: of the run.
    """

    photos: Sequence[AnnotatedImage]
    max_size: int
    processes: Processes

    @classmethod
    def of(
        cls, photos: Sequence[AnnotatedImage], config: TrainingConfig, processes: Processes
    ) -> Validation:
        """As many of the photos as `config` wants.

        Raises:
            ValueError: none of them has a face.
        """
        wanted = min(config.validation_photos or len(photos), len(photos))
        photos = [photos[i * len(photos) // wanted] for i in range(wanted)]
        if not any(len(photo.boxes) for photo in photos):
            raise ValueError(f"validation: none of {len(photos)} photos has a face; {REMEDY}")
        return cls(photos, config.validation_size, processes)

    def curve(self, model: S3FD, events: Events, step: int) -> PrecisionRecall:
        """What the model finds, at IoU 0.5, on all processes, which all have to call this.

        Args:
            model: a copy of it looks at the photos.
            events: get pictures of the first ones.
            step: of the run.
        """
        paths = [photo.path for photo in self._share(self.processes.rank)]
        detector = FaceDetector(model, self.processes.device, precision="float32")
        results = detector.stream(paths, score_threshold=LOWEST_SCORE, max_size=self.max_size)
        found = list(results)
        events.detections(step, paths, found)
        shares = self.processes.gather([detections.numpy() for detections in found])

        def judge() -> PrecisionRecall:
            photos = [photo for rank in range(len(shares)) for photo in self._share(rank)]
            return average_precision(
                [detections for share in shares for detections in share],
                [photo.boxes for photo in photos],
                ignore=[photo.ignore for photo in photos],
            )

        return self.processes.on_first(judge)

    def _share(self, rank: int) -> Sequence[AnnotatedImage]:
        return self.photos[rank :: self.processes.size]
