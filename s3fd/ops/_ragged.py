"""Batches of boxes, a list of tensors for the user, as operators take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from torch import Tensor


def splits_of(tensors: Sequence[Tensor]) -> list[int]:
    """Where the rows of each tensor begin if all follow each other, and the end: ``B + 1`` numbers.

    The host knows them, and operators take them as numbers: nothing is copied to a device.
    """
    return list(accumulate([tensor.shape[0] for tensor in tensors], initial=0))


def sizes_of(splits: Sequence[int]) -> list[int]:
    """How many rows each image has."""
    return [end - begin for begin, end in pairwise(splits)]
