"""The same map in memory in several ways."""

import math

import torch
from torch import Tensor


def layouts(values: Tensor) -> dict[str, Tensor]:
    padded = torch.full([2 * size for size in values.shape], math.nan, dtype=values.dtype)
    sliced = padded[::2, ::2, ::2, ::2]
    sliced.copy_(values)
    return {
        "contiguous": values.contiguous(),
        "channels_last": values.contiguous(memory_format=torch.channels_last),
        "sliced": sliced,
        "transposed": values.transpose(2, 3).contiguous().transpose(2, 3),
    }
