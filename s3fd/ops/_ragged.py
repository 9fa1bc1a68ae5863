"""Batches of boxes, a list of tensors for the user, as operators take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor


def splits_of(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    """Where the rows of each tensor begin if all follow each other, and the end: int64 [B + 1].

    On CUDA nobody waits for the copy: it comes from pinned memory.
    """
    splits = list(accumulate((tensor.shape[0] for tensor in tensors), initial=0))
    if device.type != "cuda" or torch.compiler.is_compiling():
        return torch.tensor(splits, device=device)
    return torch.tensor(splits, pin_memory=True).to(device, non_blocking=True)
