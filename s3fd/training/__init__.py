"""Training of S3FD: settings, loss, schedule, the loop and its checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3fd._lazy import import_at_first_use
from s3fd.training.config import TrainingConfig
from s3fd.training.config_file import config_names, make_config, read_config

if TYPE_CHECKING:
    from s3fd.training.loop import train

__all__ = ["TrainingConfig", "config_names", "make_config", "read_config", "train"]

# The settings alone need no torch: `s3fd train --help` shows them.
__getattr__, __dir__ = import_at_first_use(__name__, {"train": "s3fd.training.loop"})
