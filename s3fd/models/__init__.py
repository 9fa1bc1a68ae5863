"""Networks: S3FD with its backbones, and the formats in which their weights are published."""

from s3fd.models.checkpoint import load_checkpoint, pretrained_path, save_checkpoint
from s3fd.models.s3fd import S3FD, ModelConfig

__all__ = ["S3FD", "ModelConfig", "load_checkpoint", "pretrained_path", "save_checkpoint"]
