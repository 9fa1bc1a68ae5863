"""Folds a calibration of the scores into the weights, so that it costs nothing."""

from __future__ import annotations

import math

import torch
from torch import nn

from s3fd.models.s3fd import S3FD


@torch.no_grad()
def fold_calibration(model: S3FD, *, shift: float, scale: float) -> None:
    """Changes the log-odds ``z`` of every face to ``(z - shift) / scale``, in place.

    The log-odds are the face's logit less the background's (the largest, section 3.3), so that the
    class layers are divided by `scale`, and the biases of the faces lowered: no order changes.

    Args:
        model: its class layers are changed.
        shift: the log-odds that become 0.
        scale: above 0.

    Raises:
        ValueError: a number that is not as described, or the model is one after `S3FD.fuse`.
    """
    if not (math.isfinite(shift) and math.isfinite(scale) and scale > 0):
        raise ValueError(
            f"shift and scale: expected finite numbers, scale above 0, got {shift} and {scale}"
        )
    model.head.check_apart()
    for layer, shapes in zip(model.head.logits, model.grid.num_shapes, strict=True):
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        layer.weight.div_(scale)
        layer.bias.div_(scale)
        layer.bias.view(shapes, -1)[:, -1] -= shift / scale  # of each anchor shape, the face
