"""What a training run depends on, all in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one run.

    Attributes:
        data: folder with ``annotations.json`` and the photos.
        out: folder for checkpoints, the log and the final weights.
        model: ``"light"`` or ``"vgg16"``.
        steps: optimiser steps of the whole run.
        batch_size: images of a step at `input_size`.
        input_size: side of most training inputs in pixels; see `s3fd.data.batches.SCALES`.
        optimizer: ``"adamw"``, or ``"sgd"`` with momentum 0.9 as in the paper.
        learning_rate: at its peak, after the warm-up; falls to zero along a cosine.
        weight_decay: of convolution weights; biases and norms have none.
        warmup: steps over which the learning rate rises.
        box_weight: lambda of the paper's loss, ``class_loss + box_weight * box_loss``.
        average: decay of the moving average of the weights, which is what gets evaluated and kept.
        precision: ``"bfloat16"`` autocast, ``"float32"``, or ``"auto"``: bfloat16 where the
            hardware computes in it.
        workers: processes that prepare batches.
        device: ``"cpu"``, ``"cuda"``, or None: CUDA where there is one.
        seed: of weights and data.
        checkpoint_every: steps between checkpoints.
        imagenet: VGG16 weights in torchvision's layout to start ``vgg16`` from.
    """

    data: Path
    out: Path
    model: Literal["light", "vgg16"] = "light"
    steps: int = 12500
    batch_size: int = 48
    input_size: int = 256
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 500
    box_weight: float = 4.0
    average: float = 0.999
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    workers: int = 2
    device: str | None = None
    seed: int = 1
    checkpoint_every: int = 500
    imagenet: Path | None = None

    def __post_init__(self) -> None:
        choices = {
            "model": ("light", "vgg16"),
            "optimizer": ("adamw", "sgd"),
            "precision": ("auto", "bfloat16", "float32"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name}: expected one of {allowed}, got {getattr(self, name)!r}")
        for name in ("steps", "batch_size", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("warmup", "workers", "weight_decay", "box_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: expected more than 0, got {self.learning_rate}")
        if not 0 <= self.average < 1:
            raise ValueError(f"average: expected a decay in [0, 1), got {self.average}")
        if self.imagenet is not None and self.model != "vgg16":
            raise ValueError("imagenet: only the vgg16 model starts from ImageNet weights")
