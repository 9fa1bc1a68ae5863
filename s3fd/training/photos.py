"""The photos of a run: those that it is trained on, and those that are held out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from s3fd.data import FORMS, AnnotatedImage, PhotoSet, read_photos
from s3fd.data.formats.form import NoSplitError
from s3fd.data.photo_set import form_of
from s3fd.training.config import TrainingConfig
from s3fd.training.distractors import with_distractors

REMEDY = "name other photos with validation, or set validate_every to 0"


@dataclass(frozen=True)
class RunPhotos:
    """The photos of a run.

    Attributes:
        training: those that it is trained on.
        validation: those that it is validated on, none of which is trained on; None if it is not
            validated.
    """

    training: PhotoSet
    validation: PhotoSet | None

    @classmethod
    def from_config(cls, config: TrainingConfig) -> RunPhotos:
        """Reads the photos that `config` means.

        A data set whose labels have no split ``val`` lends a tenth of its photos to the validation:
        the same ones in every run.

        Raises:
            FileNotFoundError, ImportError, ValueError: as `read_photos` and `with_distractors`; or
                photos that are trained on would be validated on.
        """
        training = read_photos(config.data, "train", config.form, config.classes)
        if config.distractors:
            photos = with_distractors(training.photos, config.distractors)
            training = replace(training, photos=photos)
        training, validation = cls._held_out(training, config)
        photos = with_margins(training.photos, config.box_margins)
        return cls(replace(training, photos=photos), validation)

    @staticmethod
    def _held_out(training: PhotoSet, config: TrainingConfig) -> tuple[PhotoSet, PhotoSet | None]:
        """What stays to be trained on, and what the run is validated on."""
        if not config.validate_every:
            return training, None
        if config.validation is not None:
            validation = read_photos(config.validation, "val", classes=_its_classes(config))
        elif training.split is None:
            training, validation = training.hold_out()
        else:
            try:
                validation = read_photos(config.data, "val", config.form, config.classes)
            except NoSplitError:
                training, validation = training.hold_out()
        seen = {os.path.realpath(photo.path) for photo in training.photos}
        shared = [p.path for p in validation.photos if os.path.realpath(p.path) in seen]
        if shared:
            raise ValueError(
                f"validation: {len(shared)} of {len(validation.photos)} photos are trained on too, "
                f"such as {shared[0]}; {REMEDY}"
            )
        return training, validation

    def summary(self) -> list[str]:
        """What a run says of its photos, a line each."""
        lines = [self.training.summary()]
        distractors = [len(photo.distractors) for photo in self.training.photos]
        if any(distractors):
            number = sum(1 for count in distractors if count)
            lines.append(f"distractors: {sum(distractors)} in {number} photos")
        if self.validation is not None:
            lent = (self.validation.root, self.validation.split) == (
                self.training.root,
                self.training.split,
            )
            missing = "splits" if self.training.split is None else "split 'val'"
            why = f", held out since the labels have no {missing}" if lent else ""
            lines.append(f"validation{why}: {self.validation.summary()}")
        return lines


def _its_classes(config: TrainingConfig) -> Sequence[str]:
    """Those of the classes of `data` that the labels of `validation` can be asked for."""
    assert config.validation is not None
    if not config.validation.exists():
        return ()  # which `read_photos` says
    return config.classes if FORMS[form_of(config.validation)].has_classes else ()


def with_margins(photos: list[AnnotatedImage], margins: Sequence[float]) -> list[AnnotatedImage]:
    """Photos whose faces have the `box_margins` of the config.

    What then lies beyond a photo is clipped when it is opened.
    """
    if not any(margins):
        return photos
    sides, top, bottom = margins
    outwards = np.array([-sides, -top, sides, bottom], np.float32)

    def grown(photo: AnnotatedImage) -> AnnotatedImage:
        extents = np.tile(photo.boxes[:, 2:] - photo.boxes[:, :2], 2)
        return replace(photo, boxes=photo.boxes + outwards * extents)

    return [grown(photo) for photo in photos]
