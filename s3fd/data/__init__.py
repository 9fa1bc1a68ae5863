"""Training data: annotated photos, the paper's augmentation, and batches made of them."""

from s3fd.data.annotations import AnnotatedImage, read_annotations
from s3fd.data.batches import Batch, TrainingBatches
from s3fd.data.loading import CorruptPhotosError, load_batches
from s3fd.data.photo_set import FORMS, PhotoSet, read_photos
from s3fd.data.recipe import Augmentation

__all__ = [
    "FORMS",
    "AnnotatedImage",
    "Augmentation",
    "Batch",
    "CorruptPhotosError",
    "PhotoSet",
    "TrainingBatches",
    "load_batches",
    "read_annotations",
    "read_photos",
]
