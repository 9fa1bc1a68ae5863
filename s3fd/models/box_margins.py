"""Boxes that are larger than a network was taught, without training it again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn

from s3fd.models.s3fd import S3FD
from s3fd.ops._checks import VARIANCES
from s3fd.settings import check_box_margins

_OF_CENTRE, _OF_SIZE = VARIANCES  # by which a detector decodes


@torch.no_grad()
def fold_box_margins(model: S3FD, margins: Sequence[float]) -> None:
    """Lets every box of a network end further out, in place, by the biases of its box layers alone.

    Scores stay as they are, to the last bit. Width and height grow exactly as said; so that a box
    grows further at one end than at the other, its centre moves by a share of the *anchor's*
    height, which is that of the box but for a factor near 1.

    Args:
        model: its box layers are changed.
        margins: of the sides, in widths of a box at its left and at its right, and of the top and
            the bottom, in heights.

    Raises:
        ValueError: margins that are not three numbers from 0 to 1, or the model is one after
            `S3FD.fuse`.
    """
    check_box_margins(margins)
    model.head.check_apart()
    sides, top, bottom = margins
    down = (bottom - top) / 2
    change = torch.tensor(
        [
            0.0,
            down / _OF_CENTRE,
            math.log1p(2 * sides) / _OF_SIZE,
            math.log1p(top + bottom) / _OF_SIZE,
        ],
        device="cpu",  # whatever torch's default is
    )
    for layer in model.head.deltas:
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        layer.bias.view(-1, 4).add_(change.to(layer.bias))
