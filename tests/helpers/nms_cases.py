"""Boxes that suppression has to be right on, and its rule written out."""

import math
from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
THRESHOLDS = (0.0, 1e-6, 0.01, 0.3, 1 / 3, 0.5, 0.7, 0.9, 0.95, 0.99, 1.0)
LARGE = 600  # boxes, enough for the index to be used


def replay(boxes: Tensor, scores: Tensor, iou_threshold: float) -> list[int]:
    """The greedy rule in numpy: each box that comes up drops those it overlaps by more."""
    dtype = np.float64 if boxes.dtype == torch.float64 else np.float32
    x1, y1, x2, y2 = boxes.to(torch.promote_types(boxes.dtype, torch.float32)).numpy().T
    left = np.array(
        sorted(range(len(boxes)), key=lambda i: (not scores[i].isnan(), -float(scores[i]), i)), int
    )
    kept = []
    with np.errstate(all="ignore"):
        area = (x2 - x1) * (y2 - y1)
        while len(left):
            best, left = left[0], left[1:]
            kept.append(int(best))
            width = np.minimum(x2[best], x2[left]) - np.maximum(x1[best], x1[left])
            height = np.minimum(y2[best], y2[left]) - np.maximum(y1[best], y1[left])
            shared = np.maximum(width, dtype(0)) * np.maximum(height, dtype(0))
            iou = (shared / (area[best] + area[left] - shared)).astype(np.float64)
            left = left[~(iou > iou_threshold)]
    return kept


def random(*sizes: int) -> Tensor:
    return torch.rand(*sizes, dtype=torch.float64)


def centred(centre: Tensor, size: Tensor) -> Tensor:
    return torch.cat([centre - size / 2, centre + size / 2], dim=1)


def integers(n: int) -> Tensor:
    """Many ties, zero sizes and inside-out boxes."""
    corner = torch.randint(-20, 20, (n, 2))
    return torch.cat([corner, corner + torch.randint(-3, 15, (n, 2))], dim=1).double()


def of_all_sizes(n: int) -> Tensor:
    return centred((random(n, 2) - 0.5) * 1e4, 10 ** (random(n, 2) * 12 - 6))


def clustered(n: int) -> Tensor:
    faces = random(5, 2) * 300
    centre = faces[torch.randint(5, (n,))] + 4 * torch.randn(n, 2)
    return centred(centre, 30 * torch.exp(0.2 * torch.randn(n, 2)))


def almost_equal(n: int) -> Tensor:
    corner = random(n, 2)
    return torch.cat([corner, corner + 40 + random(n, 2)], dim=1)


def nested(n: int) -> Tensor:
    side = 10 ** (random(n, 1) * 6)
    return centred(torch.zeros(n, 2), side.expand(n, 2))


def in_a_line(n: int) -> Tensor:
    x = torch.randint(3 * n + 1, (n, 1)).double()
    return torch.cat([x, 0 * x, x + 10, 0 * x + 10], dim=1)


def in_a_column(n: int) -> Tensor:
    return in_a_line(n)[:, [1, 0, 3, 2]]


def slivers(n: int) -> Tensor:
    size = torch.stack([random(n) * 0.1 + 0.01, random(n) * 1000], dim=1)
    return centred(random(n, 2) * 300, size)


def one_pixel(n: int) -> Tensor:
    corner = torch.randint(30, (n, 2)).double() / 2
    return torch.cat([corner, corner + 1], dim=1)


def million_pixels(n: int) -> Tensor:
    return centred(random(n, 2) * 3e6, 1e6 * (0.5 + random(n, 2)))


def far_away(n: int) -> Tensor:
    """Coordinates so large that the smaller boxes round to nothing."""
    corner = (random(n, 2) - 0.5) * 1e12
    return torch.cat([corner, corner + corner.abs() * 10 ** (random(n, 2) * -8)], dim=1)


def tiny(n: int) -> Tensor:
    """Areas about the smallest that a float32 has."""
    corner = torch.randint(10, (n, 2)) * 1e-18
    return torch.cat([corner, corner + torch.randint(1, 9, (n, 2)) * 1e-18], dim=1)


def shifted_pairs(n: int) -> Tensor:
    """Pairs as far apart as they can be, along one axis, at an IoU about one of the thresholds."""
    pair = torch.arange(n) // 2
    corner = torch.stack([pair % 25, pair // 25], dim=1) * (60 + 200 * random(1))
    size = (20 + 30 * random((n + 1) // 2, 2)).repeat_interleave(2, dim=0)[:n]
    iou = torch.tensor(THRESHOLDS, dtype=torch.float64)[pair % len(THRESHOLDS)]
    along_x = (pair // len(THRESHOLDS)) % 2
    shift = (1 - iou) / (1 + iou) * 0.9999 * (torch.arange(n) % 2)
    corner = corner + shift[:, None] * size * torch.stack([along_x, 1 - along_x], dim=1)
    return torch.cat([corner, corner + size], dim=1)


def odd(n: int) -> Tensor:
    boxes = integers(n)
    values = torch.tensor([math.nan, math.inf, -math.inf, 3e38, -3e38, 1e-30], dtype=torch.float64)
    return torch.where(random(n, 4) < 0.1, values[torch.randint(len(values), (n, 4))], boxes)


KINDS = [
    integers, of_all_sizes, clustered, almost_equal, nested, in_a_line, in_a_column, slivers,
    one_pixel, million_pixels, far_away, tiny, shifted_pairs, odd,
]  # fmt: skip


def mixed(n: int) -> Tensor:
    parts = torch.cat([kind(n // len(KINDS) + 1) for kind in KINDS])
    return parts[torch.randperm(len(parts))[:n]]


def make(
    kind: Callable[[int], Tensor], n: int, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Boxes, and scores with ties."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        boxes = kind(n).to(dtype)
        return boxes, torch.randint(n + 1, (n,)).to(dtype) / 8


sets = st.builds(
    make,
    st.sampled_from([*KINDS, mixed]),
    st.integers(0, 40),
    st.integers(0, 2**32 - 1),
    st.sampled_from([torch.float32, torch.float64]),
)
