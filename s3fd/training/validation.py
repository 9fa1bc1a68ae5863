"""Average precision on held-out photos, in the midst of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from s3fd.data import AnnotatedImage
from s3fd.data.loading import SkippedPhotos
from s3fd.data.photo import open_photo
from s3fd.detector import FaceDetector
from s3fd.evaluation import PrecisionRecall, evaluate_detections
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.images import ImageError, Source
from s3fd.models import S3FD
from s3fd.training.config import TrainingConfig
from s3fd.training.distributed import Processes
from s3fd.training.events import Events
from s3fd.training.photos import REMEDY


@dataclass(eq=False)
class Validation:
    """Photos that the training does not see, shared out among its processes.

    One that can't be read, or has another size than its labels are for, is skipped and counted as
    in training.

    Attributes:
        photos: all of them.
        max_size: photos whose longest side is larger are shrunk to it, in pixels.
        processes: of the run.
        skipped: takes note of what is skipped, on the first of them.
    """

    photos: Sequence[AnnotatedImage]
    max_size: int
    processes: Processes
    skipped: SkippedPhotos

    @classmethod
    def of(
        cls,
        photos: Sequence[AnnotatedImage],
        config: TrainingConfig,
        processes: Processes,
        say: Callable[[str], object],
    ) -> Validation:
        """As many of the photos as `config` wants.

        Args:
            photos: of which these are taken.
            config: the settings.
            processes: of the run.
            say: is told of each photo that is skipped, on the first of them.

        Raises:
            ValueError: none of them has a face.
        """
        wanted = min(config.validation_photos or len(photos), len(photos))
        photos = [photos[i * len(photos) // wanted] for i in range(wanted)]
        _check_faces(photos)
        skipped = SkippedPhotos(len(photos), config.corrupt_share, say, "validation photo")
        return cls(photos, config.validation_size, processes, skipped)

    def open_all(self) -> None:
        """Leaves out, before the first step, what the beginnings of files tell can't be used.

        All processes have to call this.

        Raises:
            ValueError: too many photos are left out, or all that have a face.
        """
        unusable = {}
        for photo in self._share(self.processes.rank):
            try:
                with open_photo(photo):
                    pass
            except (FileNotFoundError, ImageError) as error:
                unusable[str(photo.path)] = str(error)
        self.photos = _without(self._skip(unusable), self.photos)
        _check_faces(self.photos)

    def curve(self, model: S3FD, events: Events, step: int) -> PrecisionRecall:
        """What the model finds, at IoU 0.5, on all processes, which all have to call this.

        Args:
            model: a copy of it looks at the photos.
            events: get pictures of the first ones.
            step: of the run.

        Raises:
            ValueError: too many photos can't be read, or all that have a face.
        """
        paths = [photo.path for photo in self._share(self.processes.rank)]
        damaged: dict[str, str] = {}

        def skip(source: Source, error: Exception) -> None:
            if not isinstance(error, FileNotFoundError | ImageError):
                raise error
            damaged[str(paths[source.index])] = str(error)

        detector = FaceDetector(model, self.processes.device, precision="float32")
        results = detector.stream(
            paths, on_error=skip, score_threshold=LOWEST_SCORE, max_size=self.max_size
        )
        found = list(results)
        events.detections(step, [path for path in paths if str(path) not in damaged], found)
        skipped = self._skip(damaged)
        shares = self.processes.gather(found)

        def judge() -> PrecisionRecall:
            photos = [photo for rank in range(len(shares)) for photo in self._share(rank)]
            photos = _without(skipped, photos)
            _check_faces(photos)
            detections = (detections for share in shares for detections in share)
            return evaluate_detections(detections, photos).curve

        return self.processes.on_first(judge)

    def _skip(self, unusable: Mapping[str, str]) -> Mapping[str, str]:
        """Tells of what each process can't use, and gives what all of them can't."""
        shares = self.processes.gather(unusable)

        def note() -> Mapping[str, str]:
            skipped = {path: reason for share in shares for path, reason in share.items()}
            self.skipped.add(skipped)
            return skipped

        return self.processes.on_first(note)

    def _share(self, rank: int) -> Sequence[AnnotatedImage]:
        return self.photos[rank :: self.processes.size]


def _without(skipped: Mapping[str, str], photos: Sequence[AnnotatedImage]) -> list[AnnotatedImage]:
    return [photo for photo in photos if str(photo.path) not in skipped]


def _check_faces(photos: Sequence[AnnotatedImage]) -> None:
    if not any(len(photo.boxes) for photo in photos):
        raise ValueError(f"validation: none of {len(photos)} photos has a face; {REMEDY}")
