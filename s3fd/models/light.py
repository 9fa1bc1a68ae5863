"""The light backbone: the paper's six levels on a narrow residual network for CPUs."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from s3fd.models.conv_norm import ConvNorm
from s3fd.ops import AnchorGrid


def _stage(inputs: int, outputs: int, depth: int) -> nn.Sequential:
    """Halves the resolution, then refines `depth` times."""
    return nn.Sequential(
        ConvNorm(inputs, outputs, stride=2),
        *(ConvNorm(outputs, outputs, residual=True) for _ in range(depth)),
    )


class LightBackbone(nn.Module):
    """Six levels at strides 4 to 128 from plain 3x3 convolutions, 1.1 million parameters.

    Bottom-up, each stage halves the resolution and refines: plain 3x3 convolutions, since depthwise
    ones are slow on CPUs, with most of the depth where maps are small, so that the receptive field
    of the coarse levels exceeds their anchors (section 3.1: anchors follow the effective receptive
    field). Top-down, the three finest levels add what the next coarser one knows: a face of 16 px
    is told from a button by what is around it.
    """

    grid = AnchorGrid.s3fd()
    channels: tuple[int, ...] = (24, 48, 64, 128, 96, 96)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 16, stride=2)
        self.stage1 = _stage(16, 24, depth=1)  # stride 4
        self.stage2 = _stage(24, 48, depth=2)  # stride 8
        self.stage3 = _stage(48, 96, depth=2)  # stride 16
        self.stage4 = _stage(96, 128, depth=2)  # stride 32
        self.stage5 = _stage(128, 96, depth=1)  # stride 64
        self.stage6 = _stage(96, 96, depth=1)  # stride 128
        self.merge3 = TopDown(fine=96, coarse=128, outputs=64)
        self.merge2 = TopDown(fine=48, coarse=64, outputs=48)
        self.merge1 = TopDown(fine=24, coarse=48, outputs=24, smooth=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """``[B, 3, H, W]`` to the features of the six levels, finest first."""
        c1 = self.stage1(self.stem(x))
        c2 = self.stage2(c1)
        c3 = self.stage3(c2)
        c4 = self.stage4(c3)
        c5 = self.stage5(c4)
        c6 = self.stage6(c5)
        p3 = self.merge3(c3, c4)
        p2 = self.merge2(c2, p3)
        p1 = self.merge1(c1, p2)
        return [p1, p2, p3, c4, c5, c6]


class TopDown(nn.Module):
    """Adds a coarser level, upsampled, to a finer one.

    Both are brought to `outputs` channels first: a sum at the fine resolution is much cheaper than
    a convolution over the two concatenated. The finest level does without the smoothing, which
    would cost a fifth of the whole network there.
    """

    def __init__(self, *, fine: int, coarse: int, outputs: int, smooth: bool = True) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, outputs, kernel_size=1)
        self.coarse = nn.Conv2d(coarse, outputs, kernel_size=1)
        self.smooth = ConvNorm(outputs, outputs) if smooth else nn.ReLU()

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        """``[B, fine, H, W]`` and ``[B, coarse, h, w]`` to ``[B, outputs, H, W]``."""
        above = F.interpolate(self.coarse(coarse), size=fine.shape[-2:], mode="nearest")
        merged: Tensor = self.smooth(self.fine(fine) + above)
        return merged
