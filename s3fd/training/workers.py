"""How many worker processes a run may have."""

from __future__ import annotations

import os
from dataclasses import replace

from s3fd.pipeline import available_threads
from s3fd.training.config import TrainingConfig


def within_processors(config: TrainingConfig) -> tuple[TrainingConfig, str | None]:
    """No more workers than there are processors for each process that trains on this machine.

    Returns:
        The settings, and what there is to say about them.
    """
    most = max(1, available_threads() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    if config.workers <= most:
        return config, None
    said = f"workers: {config.workers} are wanted, {most} used, as the processors here allow"
    return replace(config, workers=most), said
