"""Training data: annotated photos, the paper's augmentation, and batches made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3fd._lazy import import_at_first_use
from s3fd.data.recipe import Augmentation

if TYPE_CHECKING:
    from s3fd.data.annotations import AnnotatedImage
    from s3fd.data.batches import Batch, TrainingBatches
    from s3fd.data.cache import PhotoCache
    from s3fd.data.loading import CorruptPhotosError, load_batches
    from s3fd.data.photo_set import FORMS, PhotoSet, read_photos

__all__ = [
    "FORMS",
    "AnnotatedImage",
    "Augmentation",
    "Batch",
    "CorruptPhotosError",
    "PhotoCache",
    "PhotoSet",
    "TrainingBatches",
    "load_batches",
    "read_photos",
]

# `Augmentation` alone needs no torch: `s3fd train --help` shows it.
__getattr__, __dir__ = import_at_first_use(
    __name__,
    {
        "FORMS": "s3fd.data.photo_set",
        "AnnotatedImage": "s3fd.data.annotations",
        "Batch": "s3fd.data.batches",
        "CorruptPhotosError": "s3fd.data.loading",
        "PhotoCache": "s3fd.data.cache",
        "PhotoSet": "s3fd.data.photo_set",
        "TrainingBatches": "s3fd.data.batches",
        "load_batches": "s3fd.data.loading",
        "read_photos": "s3fd.data.photo_set",
    },
)
