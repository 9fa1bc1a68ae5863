"""Twins of :func:`s3fd.ops.encode_boxes` and :func:`s3fd.ops.decode_boxes`."""

from __future__ import annotations

import torch
from torch import Tensor

from s3fd.ops._checks import VARIANCES


def encode_boxes(
    boxes: Tensor,  # [..., A, 4]
    anchors: Tensor,  # [..., A, 4]
    variances: tuple[float, float] = VARIANCES,
) -> Tensor:  # [..., A, 4]
    """Offsets of centres in units of the anchor, and logarithms of the sizes' ratios."""
    assert boxes.shape[-1] == anchors.shape[-1] == 4
    dtype = torch.promote_types(boxes.dtype, anchors.dtype)
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    shift = (centre - anchor_centre) / (variances[0] * anchor_size)  # [..., A, 2]
    scale = torch.log(size / anchor_size) / variances[1]  # [..., A, 2]
    return torch.cat([shift, scale], dim=-1).to(dtype)


def decode_boxes(
    deltas: Tensor,  # [..., A, 4]
    anchors: Tensor,  # [..., A, 4]
    variances: tuple[float, float] = VARIANCES,
    image_size: tuple[int, int] | None = None,
) -> Tensor:  # [..., A, 4]
    """The inverse of :func:`encode_boxes`, clipped to the image if its size is given."""
    assert deltas.shape[-1] == anchors.shape[-1] == 4
    dtype = torch.promote_types(deltas.dtype, anchors.dtype)
    shift, scale = _in_float32(deltas).split(2, dim=-1)  # 2 x [..., A, 2]
    anchor_centre, anchor_size = _centre_and_size(anchors)
    centre = anchor_centre + shift * variances[0] * anchor_size
    half_size = anchor_size * torch.exp(scale * variances[1]) / 2
    boxes = torch.cat([centre - half_size, centre + half_size], dim=-1)
    if image_size is not None:
        height, width = image_size
        boxes = boxes.clamp(boxes.new_zeros(4), boxes.new_tensor([width, height, width, height]))
    return boxes.to(dtype)


def encode_boxes_backward(
    gradient: Tensor,  # [..., A, 4]
    boxes: Tensor,  # [..., A, 4]
    anchors: Tensor,  # [..., A, 4]
    variances: tuple[float, float],
    of_anchors: bool,
) -> Tensor:  # [..., A, 4]
    """Gradient of :func:`encode_boxes` with respect to the boxes, or else to the anchors."""
    dtype = torch.promote_types(boxes.dtype, anchors.dtype)
    of_shift, of_scale = _in_float32(gradient).split(2, dim=-1)  # 2 x [..., A, 2]
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    of_centre = _passed(of_shift, of_shift / (variances[0] * anchor_size))
    of_size = _passed(of_scale, of_scale / (variances[1] * size))
    if of_anchors:
        shift = (centre - anchor_centre) / (variances[0] * anchor_size)
        of_centre = -of_centre
        of_size = _passed(of_shift, of_shift * shift) + of_scale / variances[1]
        of_size = _passed(of_size, -of_size / anchor_size)
    return torch.cat([of_centre / 2 - of_size, of_centre / 2 + of_size], dim=-1).to(dtype)


def decode_boxes_backward(
    gradient: Tensor,  # [..., A, 4]
    deltas: Tensor,  # [..., A, 4]
    anchors: Tensor,  # [..., A, 4]
    variances: tuple[float, float],
    image_size: tuple[int, int] | None,
    of_anchors: bool,
) -> Tensor:  # [..., A, 4]
    """Gradient of :func:`decode_boxes` with respect to the deltas, or else to the anchors."""
    dtype = torch.promote_types(deltas.dtype, anchors.dtype)
    gradient = _in_float32(gradient)
    if image_size is not None:  # no gradient passes where a coordinate was cut off
        boxes = decode_boxes(_in_float32(deltas), anchors, variances)
        height, width = image_size
        inside = (boxes >= 0) & (boxes <= boxes.new_tensor([width, height, width, height]))
        gradient = torch.where(inside, gradient, 0.0)
    top_left, bottom_right = gradient.split(2, dim=-1)  # 2 x [..., A, 2]
    of_centre, of_size = top_left + bottom_right, (bottom_right - top_left) / 2
    shift, scale = _in_float32(deltas).split(2, dim=-1)
    growth = torch.exp(scale * variances[1])
    if of_anchors:
        of_width = _passed(of_size, of_size * growth)
        of_size = _passed(of_centre, of_centre * shift * variances[0]) + of_width
        return torch.cat([of_centre / 2 - of_size, of_centre / 2 + of_size], dim=-1).to(dtype)
    _, anchor_size = _centre_and_size(anchors)
    of_shift = _passed(of_centre, of_centre * variances[0] * anchor_size)
    of_scale = _passed(of_size, of_size * anchor_size * growth * variances[1])
    return torch.cat([of_shift, of_scale], dim=-1).to(dtype)


def _passed(gradient: Tensor, product: Tensor) -> Tensor:
    """A product of what comes back: none where none comes, be the rest infinite or NaN."""
    return torch.where(gradient == 0, 0.0, product)


def _centre_and_size(boxes: Tensor) -> tuple[Tensor, Tensor]:  # 2 x [..., A, 2]
    top_left, bottom_right = _in_float32(boxes).split(2, dim=-1)
    return (top_left + bottom_right) / 2, bottom_right - top_left


def _in_float32(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or float64 if it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
