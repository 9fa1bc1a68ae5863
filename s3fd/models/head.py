"""The prediction head: one 3x3 convolution a level for the classes and one for the boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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
        self.joined = nn.ModuleList()
        self._widths = [
            (anchors * (behind + 1), anchors * 4)
            for behind, anchors in zip(backgrounds, shapes, strict=True)
        ]

    def forward(self, features: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """``[B, C_l, H_l, W_l]`` of every level to its class map and its delta map."""
        if self.joined:
            # In float32 before they are parted, as adjacent channels are converted much faster.
            both = [
                conv(x).float().split(widths, dim=1)
                for conv, x, widths in zip(self.joined, features, self._widths, strict=True)
            ]
            return [logits for logits, _ in both], [deltas for _, deltas in both]
        logits = [conv(x) for conv, x in zip(self.logits, features, strict=True)]
        deltas = [conv(x) for conv, x in zip(self.deltas, features, strict=True)]
        return logits, deltas

    def check_apart(self) -> None:
        """Refuses to have its layers changed where `fuse` has joined them.

        Raises:
            ValueError: it has.
        """
        if self.joined:
            raise ValueError(
                "model: expected one whose head is not joined, got one after fuse(), as a "
                "detector's is; change the model that it was made of"
            )

    def fuse(self) -> None:
        """Makes one convolution of the two of each level; its maps are float32 in any precision.

        Their few channels fill a vector of the processor together no more than each alone.
        """
        for logits, deltas in zip(self.logits, self.deltas, strict=True):
            assert isinstance(logits, nn.Conv2d)
            assert isinstance(deltas, nn.Conv2d)
            both = nn.utils.skip_init(  # draws no random numbers, which those of a run follow
                nn.Conv2d,
                logits.in_channels,
                logits.out_channels + deltas.out_channels,
                kernel_size=3,
                padding=1,
                device=logits.weight.device,
                dtype=logits.weight.dtype,
            )
            joined = {
                name: torch.cat([value, deltas.state_dict()[name]])
                for name, value in logits.state_dict().items()
            }
            both.load_state_dict(joined)
            self.joined.append(both)
        self.logits, self.deltas = nn.ModuleList(), nn.ModuleList()
