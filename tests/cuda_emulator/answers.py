"""Whether emulated kernels answer as those for the CPU: ``python answers.py CHECK [ONLY]``.

A program of its own, since the emulator is asked for before anything is imported: S3FD_BRIDGE is
its library. ONLY names the calls that are made, if not all: those whose names contain it.
"""

from __future__ import annotations

import mmap
import sys

import kernel_bridge
import torch
from kernel_checks import CHECKS, Check
from operator_calls import (
    Call,
    OperatorCalls,
    assert_same,
    in_channels_last,
    shifted,
    with_gradients,
)
from torch import Tensor

from s3fd import ops

FAR = 2**31  # elements: an offset that 32 bits don't hold


def far(tensor: Tensor, dimension: int = 0) -> Tensor:
    """The same, from its first to its last row of a dimension more elements apart than int counts.

    What is in between is never touched, and so takes no memory.
    """
    if tensor.dim() <= dimension or tensor.shape[dimension] < 2:
        return tensor
    strides = list(tensor.contiguous().stride())
    strides[dimension] = -(-FAR // (tensor.shape[dimension] - 1)) + strides[dimension]
    extent = 1 + sum((n - 1) * s for n, s in zip(tensor.shape, strides, strict=True))
    no_reserve = 0x4000  # MAP_NORESERVE, which Python has a name for from 3.13 on
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve
    memory = mmap.mmap(-1, extent * tensor.element_size(), flags=flags)
    whole = torch.frombuffer(memory, dtype=tensor.dtype)
    return whole.as_strided(tensor.shape, strides).copy_(tensor)


def far_by_second(tensor: Tensor) -> Tensor:
    return far(tensor, dimension=1)


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


PLACES = {
    place.__name__.replace("as_it_is", "as it is"): place
    for place in (as_it_is, shifted, in_channels_last, far, far_by_second)
}


def calls_in_turns(size: int) -> dict[str, Call]:
    """With more channels, boxes and members of a group than the threads that share them."""
    features, weight = torch.randn(2, size, 2, 3), torch.rand(size) + 0.5
    side_by_side = in_channels_last(features)
    corners = torch.randint(0, 300, (size // 100, 2)).repeat(100, 1)
    corners = corners + torch.randint(0, 3, corners.shape)
    boxes, scores = torch.cat([corners, corners + 40], dim=1).float(), torch.rand(len(corners))
    groups = torch.randint(0, 3, scores.shape)
    return {
        "l2_normalize": lambda: with_gradients(ops.l2_normalize, features, weight),
        "l2_normalize_channels": lambda: with_gradients(ops.l2_normalize, side_by_side, weight),
        "nms": lambda: (ops.nms(boxes, scores, 0.4),),
        "batched_nms": lambda: (ops.batched_nms(boxes, scores, groups, 0.4),),
        "soft_suppression": lambda: ops.soft_nms(boxes, scores, score_threshold=0.9),
        "vote_boxes": lambda: ops.vote_boxes(boxes, scores, 0.4),
    }


def calls_of(check: Check) -> dict[str, Call]:
    if check.turns:
        return calls_in_turns(check.size)
    if check.many_images:  # more of them than a grid has rows of blocks
        maps = torch.randn(check.size, 3, 1, 1)
        return {"max_out_background": lambda: with_gradients(ops.max_out_background, maps)}
    dtype = getattr(torch, check.dtype)
    return OperatorCalls(check.size, dtype=dtype, place=PLACES[check.place]).calls


def main(name: str, only: str = "") -> None:
    with kernel_bridge.closed():
        calls = calls_of(CHECKS[name])
        calls = {name: call for name, call in calls.items() if only in name}
        expected = {name: call() for name, call in calls.items()}
    for name, call in calls.items():
        print(name, flush=True)
        assert_same(call(), expected[name])
    print("called:", *sorted(kernel_bridge.called))


if __name__ == "__main__":
    main(*sys.argv[1:])
