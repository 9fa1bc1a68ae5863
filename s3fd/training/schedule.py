"""The learning rate over a run."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence


def cosine(step: int, *, warmup: int, steps: int) -> float:
    """Factor of the learning rate: rises linearly, then falls to zero along half a cosine.

    Args:
        step: from 0.
        warmup: steps over which it rises.
        steps: of the whole run.

    Example:
        >>> [round(cosine(s, warmup=2, steps=6), 3) for s in range(6)]
        [0.5, 1.0, 1.0, 0.854, 0.5, 0.146]
    """
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (step - warmup) / max(1, steps - warmup))


def late(step: int, *, warmup: int, steps: int, decay: float) -> float:
    """Factor of the learning rate: rises linearly, stays, and falls linearly to zero at the end.

    Known as warm-up, stable, decay (Hu et al., "MiniCPM", 2024): how long the run will be need not
    be known before the fall begins.

    Args:
        step: from 0.
        warmup: steps over which it rises.
        steps: of the whole run.
        decay: share of `steps` over which it falls.

    Example:
        >>> [late(s, warmup=2, steps=8, decay=0.5) for s in range(8)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return rise * min(1.0, (steps - step) / max(1.0, decay * steps))


def staircase(step: int, *, warmup: int, milestones: Sequence[int], factor: float) -> float:
    """Factor of the learning rate: rises linearly, then falls at each milestone, as in the paper.

    Args:
        step: from 0.
        warmup: steps over which it rises.
        milestones: steps, rising; each multiplies the rate by `factor` from there on.
        factor: 0.1 in the paper.

    Example:
        >>> [staircase(s, warmup=0, milestones=(2, 3), factor=0.5) for s in range(5)]
        [1.0, 1.0, 0.5, 0.25, 0.25]
    """
    rise = (step + 1) / warmup if step < warmup else 1.0
    return rise * factor ** bisect_right(milestones, step)
