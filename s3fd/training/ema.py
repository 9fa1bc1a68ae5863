"""The exponential moving average (EMA) of the weights, which is what gets evaluated and kept."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, *, step: int, decay: float) -> None:
    """Moves `average` towards `model`; the first steps move it faster, to forget the start.

    Args:
        average: changed in place.
        model: of the same names and shapes.
        step: of the model, from 0.
        decay: share of the average that stays, in [0, 1); 0 makes `average` equal to `model`.
    """
    move_towards(average, model, 1 - min(decay, (1 + step) / (10 + step)))


@torch.no_grad()
def move_towards(network: nn.Module, other: nn.Module, share: float) -> None:
    """Makes `network` the mean of both, `other` with this share.

    Running statistics of batch norms too; integers are copied.

    Args:
        network: changed in place.
        other: of the same names and shapes.
        share: in [0, 1].
    """
    source = other.state_dict()
    for name, target in network.state_dict().items():
        if target.dtype.is_floating_point:
            target.lerp_(source[name], share)
        else:
            target.copy_(source[name])
