"""Maps of detectors' heads whose logits tie, and detections that are compared."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from s3fd.ops import AnchorGrid

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
S3FD_GRID = AnchorGrid.s3fd()
GRIDS = {
    "s3fd": S3FD_GRID,
    "retinaface": AnchorGrid((8, 16, 32), ((16, 32), (64, 128), (256, 512))),
    "ssd": AnchorGrid(
        (8, 16), ((20, (28, 14), (14, 28)), (40, 60, (60, 30), (30, 60))), backgrounds=(2, 1)
    ),
    "corner": AnchorGrid((8,), ((16, 24),), offset=0.0),
    "axes": AnchorGrid(((8, 16), (16, 8)), ((16, 24), 32)),
}
Maps = tuple[list[Tensor], list[Tensor]]
Detections = tuple[Tensor, Tensor, Tensor]


def make_maps(
    grid: AnchorGrid,
    image_size: tuple[int, int],
    batch: int = 2,
    *,
    classes: int = 1,
    activation: str = "softmax",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Maps:
    """Maps of small integers and halves, so that logits tie.

    Deltas of sizes are 0: the exponential of anything else may differ in its last bit.
    """
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for level, (rows, columns) in enumerate(grid.feature_sizes(image_size)):
        shapes = grid.num_shapes[level]
        backgrounds = grid.num_backgrounds[level] if activation == "softmax" else 0
        sizes = (batch, shapes * (backgrounds + classes), rows, columns)
        logits.append(torch.randint(-4, 5, sizes, generator=generator).to(dtype) / 2)
        shift = torch.randint(-3, 4, (batch, shapes, 4, rows, columns), generator=generator) / 2
        shift[:, :, 2:] = 0
        deltas.append(shift.flatten(1, 2).to(dtype))
    return logits, deltas


def assert_same(result: Detections, expected: Detections, *, exact: bool = True) -> None:
    boxes, scores, splits = result
    assert boxes.dtype == scores.dtype == torch.float32
    assert boxes.shape == (len(scores), 4)
    assert torch.equal(splits, expected[2])
    if exact:
        assert torch.equal(boxes, expected[0])
    torch.testing.assert_close(boxes, expected[0], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(scores, expected[1], rtol=1e-6, atol=1e-7)


def one_level(logits: Sequence[Sequence[float]], deltas: Tensor | None = None) -> Maps:
    """A 1 x N map of a level with one shape; the logits of each cell, background first."""
    cells = torch.tensor(logits, dtype=torch.float32).T[None, :, None]
    return [cells], [torch.zeros(1, 4, 1, cells.shape[3]) if deltas is None else deltas]


GRID16 = AnchorGrid((16,), (16,))  # neighbours touch, but do not overlap
GRID16_OF_THREE = replace(GRID16, backgrounds=3)
