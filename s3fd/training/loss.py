"""The training objective: match, max out the background, mine, and add up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from s3fd.ops import AnchorGrid, max_out_background, multibox_loss


def flatten_maps(maps: Sequence[Tensor], channels: int) -> Tensor:
    """Joins the maps of all levels in the order of the anchors.

    Args:
        maps: ``[B, S_l * channels, H_l, W_l]`` of every level.
        channels: 2 for logits, 4 for deltas.

    Returns:
        ``[B, A, channels]``.
    """
    return torch.cat(
        [level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels) for level in maps], dim=1
    )


def detection_loss(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    grid: AnchorGrid,
    boxes: Sequence[Tensor],
    ignore: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Class and box loss of raw head maps against ragged boxes.

    Scale compensation anchor matching (section 3.2), max-out background (section 3.3), then the
    multi-box loss with hard negatives 3:1 (section 3.4).

    Args:
        logits: class maps, as the model returned them.
        deltas: delta maps, likewise.
        grid: the model's anchors.
        boxes: ``[G_i, 4]`` of every image, in pixels of the network's input.
        ignore: ``[I_i, 4]`` of every image.

    Returns:
        ``(class_loss, box_loss)``, two scalars.
    """
    feature_sizes = [(level.shape[-2], level.shape[-1]) for level in logits]
    anchors = grid.anchors(feature_sizes, device=logits[0].device)
    matched = grid.match(feature_sizes, boxes, ignore=ignore)
    joined = flatten_maps([max_out_background(level) for level in logits], channels=2)
    return multibox_loss(joined, flatten_maps(deltas, channels=4), anchors, boxes, matched)
