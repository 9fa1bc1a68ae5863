"""Twin of :meth:`s3fd.ops.AnchorGrid.anchors`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from s3fd.ops.grid import GridDescription


def anchors(
    grid: GridDescription,
    feature_sizes: Sequence[tuple[int, int]],
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:  # [A, 4]
    """Lists the anchors of a grid: by level, row, column, shape. Computed in float64."""
    levels = [torch.empty(0, 4, device=device, dtype=torch.float64)]
    for (rows, columns), (stride_x, stride_y), shapes in zip(
        feature_sizes, grid.axis_strides, grid.shapes, strict=True
    ):
        y = (torch.arange(rows, device=device, dtype=torch.float64) + grid.offset) * stride_y
        x = (torch.arange(columns, device=device, dtype=torch.float64) + grid.offset) * stride_x
        half = torch.tensor(shapes, device=device, dtype=torch.float64) / 2  # [S, 2]
        centre = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [rows, columns, 2]
        centre = centre[:, :, None]  # [rows, columns, 1, 2]
        boxes = torch.cat([centre - half, centre + half], dim=-1)  # [rows, columns, S, 4]
        levels.append(boxes.view(-1, 4))
    return torch.cat(levels).to(dtype)
