"""Training data: annotated photos, the paper's augmentation, and batches made of them."""

from s3fd.data.annotations import AnnotatedImage, read_annotations
from s3fd.data.batches import Batch, TrainingBatches

__all__ = ["AnnotatedImage", "Batch", "TrainingBatches", "read_annotations"]
