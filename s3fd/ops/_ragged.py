"""Batches of boxes, a list of tensors for the user, as operators take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from s3fd.ops._checks import DTYPES


def join(
    tensors: Sequence[Tensor], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, list[int]]:
    """All rows after each other, contiguous ``[T, 4]``, and where each tensor's begin and end.

    The host knows these ``B + 1`` numbers, and operators take them as numbers: nothing is copied to
    a device.

    Args:
        tensors: ``[G_i, 4]``; their history is left behind.
        dtype: of the rows.
        device: of the rows if there is no tensor.

    Raises:
        Exception: something is no such tensor. ``check_boxes_of_batch`` says what, and why.
    """
    splits = [0]
    for tensor in tensors:
        if tensor.dtype not in DTYPES:
            raise TypeError("expected floating-point boxes")
        size, _ = tensor.shape
        splits.append(splits[-1] + size)
    if len(splits) == 1:
        return torch.empty((0, 4), dtype=dtype, device=device), splits
    rows = tensors[0] if len(splits) == 2 else torch.cat(list(tensors))
    if rows.requires_grad:
        rows = rows.detach()
    if rows.dtype != dtype:
        rows = rows.to(dtype)
    return rows.contiguous(), splits


def sizes_of(splits: Sequence[int]) -> list[int]:
    """How many rows each image has."""
    return [end - begin for begin, end in pairwise(splits)]
