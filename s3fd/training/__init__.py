"""Training of S3FD: settings, loss, schedule, the loop and its checkpoints."""

from s3fd.training.config import TrainingConfig
from s3fd.training.config_file import config_names, make_config, read_config
from s3fd.training.loop import train

__all__ = ["TrainingConfig", "config_names", "make_config", "read_config", "train"]
