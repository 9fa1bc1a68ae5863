"""Training of S3FD: the loss, the schedule, the loop and its checkpoints."""

from s3fd.training.config import TrainingConfig
from s3fd.training.loop import train

__all__ = ["TrainingConfig", "train"]
