"""Intersection over union: the expression that all decisions share.

``inter / (area_a + area_b - inter)``, in float32 unless told otherwise, each operation rounded for
itself (no fused multiply-add). A degenerate box (a width or height that is zero, negative or NaN,
or an area that is not finite or too small for its dtype) overlaps nothing: its IoU is 0, never NaN.
"""

import torch
from torch import Tensor


def sides_and_areas(
    boxes: Tensor,  # [N, 4]
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor]:  # [4, N], [N]
    """Coordinates by side, and areas; a degenerate box becomes a point of infinite area.

    Such a point meets nothing, so that its IoU is 0 / infinity = 0 even with its like.
    """
    x1, y1, x2, y2 = boxes.to(dtype).T  # 4 x [N]
    width, height = x2 - x1, y2 - y1  # [N], [N]
    area = width * height  # [N]
    proper = (width > 0) & (height > 0) & (area > 0) & (area < torch.inf)  # [N], False for NaN
    sides = torch.stack([x1, y1, x2, y2]).where(proper, 0.0)  # [4, N]
    return sides, area.where(proper, torch.inf)


def intersection(
    a: Tensor,  # [4, A]: sides
    b: Tensor,  # [4, G]: sides
) -> Tensor:  # [G, A]
    """Area that each pair of boxes shares."""
    ax1, ay1, ax2, ay2 = a  # 4 x [A]
    bx1, by1, bx2, by2 = b[:, :, None]  # 4 x [G, 1]
    width = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp_(min=0)  # [G, A]
    height = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp_(min=0)  # [G, A]
    return width.mul_(height)


def pairwise_iou(
    a: tuple[Tensor, Tensor],  # [4, A], [A]: sides and areas
    b: tuple[Tensor, Tensor],  # [4, G], [G]: sides and areas
) -> Tensor:  # [G, A]
    """IoU of each pair of boxes."""
    (a_sides, a_areas), (b_sides, b_areas) = a, b
    shared = intersection(a_sides, b_sides)  # [G, A]
    return shared.div_((a_areas + b_areas[:, None]).sub_(shared))
