"""Calls whose lists are sorted in one way up to a length, and in another way above it, on CUDA."""

import functools

import torch
from operator_calls import Call
from torch import Tensor

from s3fd import ops

#: kMostRanked of csrc/cuda/primitives/sort.cuh.
MOST_RANKED = 32768

SPECIAL = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0)


def long_calls(size: int, device: str = "cpu") -> dict[str, Call]:
    """Calls on lists of so many entries; on CUDA, all of their inputs are there."""
    generator = torch.Generator().manual_seed(size)
    # Eight on each other, and apart from all others.
    numbers = torch.arange(size) // 8
    corner = 10.0 * torch.stack([numbers % 64, numbers // 64], dim=1)
    shuffled = torch.randperm(size, generator=generator)
    boxes = torch.cat([corner, corner + 9], dim=1)[shuffled]
    # Many are equal, and some are no numbers or infinite.
    scores = torch.randint(-999, 999, (size,), generator=generator) / 1000
    scores[7::11] *= 1 + torch.finfo(scores.dtype).eps  # neighbours of others
    scores[::1000] = torch.tensor(SPECIAL).repeat(size)[: len(scores[::1000])]
    groups = torch.randint(0, 3, (size,), generator=generator)
    return {
        **_of_boxes(boxes.to(device), scores.to(device), groups.to(device)),
        **_of_maps(size, device, generator),
    }


def _of_boxes(boxes: Tensor, scores: Tensor, groups: Tensor) -> dict[str, Call]:
    weights = scores.nan_to_num(0.5, 0.5, 0.5).abs()
    return {
        "nms": lambda: (ops.nms(boxes, scores, 0.5),),
        "nms of double": lambda: (ops.nms(boxes, scores.double(), 0.5),),
        "nms of half, padded": lambda: ops.nms(boxes, scores.half(), 0.5, padded=True, keep=999),
        "batched_nms": lambda: (ops.batched_nms(boxes, scores, groups, 0.5),),
        "vote_boxes": lambda: ops.vote_boxes(boxes, weights, 0.5),
    }


def _of_maps(size: int, device: str, generator: torch.Generator) -> dict[str, Call]:
    """One image, and two, of ``size`` candidates among some more cells."""
    grid = ops.AnchorGrid(strides=(16,), sizes=(8,))
    rows = -(-size // 128) + 1
    logits = torch.randint(-9, 9, (2, 2, rows, 128), generator=generator) / 8
    deltas = torch.zeros(2, 4, rows, 128)
    maps = [part.to(device) for part in (logits, deltas)]
    decode = functools.partial(
        ops.decode_detections, grid=grid, score_threshold=0.0, candidates=size, keep=size
    )
    return {
        "decode_detections": lambda: decode([maps[0][:1]], [maps[1][:1]]),
        "decode_detections of two": lambda: decode([maps[0]], [maps[1]]),
    }
