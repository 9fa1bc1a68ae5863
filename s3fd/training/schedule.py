"""The learning rate over a run, and the moving average of the weights."""

from __future__ import annotations

import math

import torch
from torch import nn


def learning_rate_factor(step: int, *, warmup: int, steps: int) -> float:
    """Rises linearly over `warmup` steps, then falls to zero along half a cosine.

    Example:
        >>> [round(learning_rate_factor(s, warmup=2, steps=6), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, step: int, decay: float) -> None:
    """Moves `average` towards `model`; the first steps move it faster, to forget the start.

    Running statistics of batch norms are averaged too; integers are copied.
    """
    decay = min(decay, (1 + step) / (10 + step))
    source = model.state_dict()
    for name, target in average.state_dict().items():
        if target.dtype.is_floating_point:
            target.lerp_(source[name], 1 - decay)
        else:
            target.copy_(source[name])
