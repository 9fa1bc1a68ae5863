"""The optimiser of a run, and its learning rate at a step."""

from __future__ import annotations

import torch
from torch import nn

from s3fd.training.config import TrainingConfig
from s3fd.training.schedule import cosine, late, staircase


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """SGD or AdamW; only the weights of convolutions decay, not biases and norms."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of a step, from 0: a function of the settings, without a state."""
    if config.schedule == "steps":
        factor = staircase(
            step,
            warmup=config.warmup,
            milestones=config.milestones,
            factor=config.milestone_factor,
        )
    elif config.schedule == "late":
        factor = late(step, warmup=config.warmup, steps=config.steps, decay=config.decay)
    else:
        factor = cosine(step, warmup=config.warmup, steps=config.steps)
    return config.learning_rate * factor
