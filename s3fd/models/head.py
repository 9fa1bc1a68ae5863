"""The prediction head: one 3x3 convolution a level for the classes and one for the boxes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class MultiBoxHead(nn.Module):
    """Raw class and box maps of every level (S3FD, section 3.1).

    Each of the ``shapes[l]`` anchors of a cell of level ``l`` gets ``backgrounds[l]`` background
    logits and then the face's, and four box deltas. Of several background logits max-out background
    (section 3.3) takes the largest: see `s3fd.ops.max_out_background`. The head itself leaves them
    apart, so that `s3fd.ops.decode_detections` can read the raw maps.

    Args:
        channels: feature channels of every level.
        backgrounds: background logits of an anchor of every level, each at least 1.
        shapes: anchors of a cell of every level.
    """

    def __init__(
        self, channels: Sequence[int], backgrounds: Sequence[int], shapes: Sequence[int]
    ) -> None:
        super().__init__()
        self.logits = nn.ModuleList(
            nn.Conv2d(width, anchors * (behind + 1), kernel_size=3, padding=1)
            for width, behind, anchors in zip(channels, backgrounds, shapes, strict=True)
        )
        self.deltas = nn.ModuleList(
            nn.Conv2d(width, anchors * 4, kernel_size=3, padding=1)
            for width, anchors in zip(channels, shapes, strict=True)
        )

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """``[B, C_l, H_l, W_l]`` of every level to its class map and its delta map."""
        logits = [conv(x) for conv, x in zip(self.logits, features, strict=True)]
        deltas = [conv(x) for conv, x in zip(self.deltas, features, strict=True)]
        return logits, deltas
