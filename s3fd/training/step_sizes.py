"""Which steps a run has, and whether each of them can be done."""

from __future__ import annotations

import math

from s3fd.data.batches import image_counts, input_sizes
from s3fd.models import S3FD, ModelConfig
from s3fd.models.checkpoint import empty_model
from s3fd.training.batch_norm import has_batch_norm
from s3fd.training.config import TrainingConfig


def check_step_sizes(config: TrainingConfig, processes: int) -> None:
    """Refuses settings with which some step of a run can't be done, before there is any.

    Args:
        config: the settings.
        processes: how many share a step.

    Raises:
        ValueError: in some step a process has fewer images than parts, or a part is one image of
            which the coarsest level sees one place: batch norm has nothing to take a variance of.
    """
    model = empty_model(ModelConfig(config.model))
    sizes = input_sizes(config.input_size, config.augmentation)
    counts = image_counts(config.batch_size, config.input_size, config.augmentation)
    for size, images, share in zip(
        sizes.tolist(), counts.tolist(), config.augmentation.scale_shares, strict=True
    ):
        if share:
            _check(model, size, images, processes, config.accumulate)


def _check(model: S3FD, size: int, images: int, processes: int, parts: int) -> None:
    if images < processes * parts:
        raise ValueError(
            f"batch_size: a step of {images} images of {size} x {size} px can't be shared out "
            f"among {processes} processes with {parts} parts each; enlarge it, or lower accumulate"
        )
    smallest = images // (processes * parts)  # images of a part
    values = processes * smallest * math.prod(model.grid.feature_sizes((size, size))[-1])
    if values == 1 and has_batch_norm(model):
        raise ValueError(
            f"batch_size: batch norm can't learn from one image of {size} x {size} px at a time; "
            "enlarge it or input_size, or lower accumulate"
        )
