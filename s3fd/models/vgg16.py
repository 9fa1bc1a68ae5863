"""The VGG16 backbone: the paper's, and the variants of it that published weights belong to."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3fd.ops import AnchorGrid, l2_normalize
from s3fd.settings import check_choice

Pools: TypeAlias = Literal["ceil", "floor", "third_ceil"]

# The smallest image of which every pool leaves something, by how the pools round.
SMALLEST_IMAGE = {"ceil": 1, "third_ceil": 28, "floor": 32}


class L2Norm(nn.Module):
    """The channel norm of `s3fd.ops.l2_normalize` with a learned weight for each channel.

    Args:
        channels: channels of the features.
        initial: what all the weights start at.
    """

    def __init__(self, channels: int, initial: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), initial))

    def forward(self, features: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same."""
        return l2_normalize(features, self.weight)


class VGG16Backbone(nn.Module):
    """VGG16 up to pool5, its fully connected layers as convolutions, and four extra convolutions.

    The features of conv3_3, conv4_3 and conv5_3, L2-normalised and rescaled, and those of fc7,
    conv6_2 and conv7_2 (arXiv 1708.05237, section 3.1 and figure 2). Layers have the paper's names.
    All convolutions start from Xavier's uniform distribution, all biases from zero; see
    `s3fd.models.imagenet.initialize_from_imagenet`.

    The shapes of the parameters are the same whatever the options, which is why they are a part of
    `ModelConfig` and of every file of weights.

    Args:
        fc6_padding: padding of fc6, a 3x3 convolution. Where it is not equal to the dilation, the
            last three maps are larger (or smaller) by ``2 * (padding - dilation)`` cells on fc7.
        fc6_dilation: dilation of fc6.
        pools: how the five pools round odd sizes: ``"ceil"``, ``"floor"``, or ``"third_ceil"``
            (only the third rounds up).

    Raises:
        ValueError: an option has a value that does not exist.
    """

    grid = AnchorGrid.s3fd()
    channels: tuple[int, ...] = (256, 512, 512, 1024, 512, 256)

    def __init__(
        self,
        *,
        fc6_padding: int = 1,
        fc6_dilation: int = 1,
        pools: Pools = "ceil",
    ) -> None:
        super().__init__()
        check_choice("pools", pools, get_args(Pools))
        if fc6_padding < 0:
            raise ValueError(f"fc6_padding: expected at least 0, got {fc6_padding}")
        if fc6_dilation < 1:
            raise ValueError(f"fc6_dilation: expected at least 1, got {fc6_dilation}")
        self.conv1_1 = nn.Conv2d(3, 64, kernel_size=3, padding=1)
        self.conv1_2 = nn.Conv2d(64, 64, kernel_size=3, padding=1)
        self.pool1 = nn.MaxPool2d(2, ceil_mode=pools == "ceil")
        self.conv2_1 = nn.Conv2d(64, 128, kernel_size=3, padding=1)
        self.conv2_2 = nn.Conv2d(128, 128, kernel_size=3, padding=1)
        self.pool2 = nn.MaxPool2d(2, ceil_mode=pools == "ceil")
        self.conv3_1 = nn.Conv2d(128, 256, kernel_size=3, padding=1)
        self.conv3_2 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.conv3_3 = nn.Conv2d(256, 256, kernel_size=3, padding=1)
        self.conv3_3_norm = L2Norm(256, initial=10.0)
        self.pool3 = nn.MaxPool2d(2, ceil_mode=pools in ("ceil", "third_ceil"))
        self.conv4_1 = nn.Conv2d(256, 512, kernel_size=3, padding=1)
        self.conv4_2 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv4_3 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv4_3_norm = L2Norm(512, initial=8.0)
        self.pool4 = nn.MaxPool2d(2, ceil_mode=pools == "ceil")
        self.conv5_1 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_2 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_3 = nn.Conv2d(512, 512, kernel_size=3, padding=1)
        self.conv5_3_norm = L2Norm(512, initial=5.0)
        self.pool5 = nn.MaxPool2d(2, ceil_mode=pools == "ceil")
        self.fc6 = nn.Conv2d(512, 1024, kernel_size=3, padding=fc6_padding, dilation=fc6_dilation)
        self.fc7 = nn.Conv2d(1024, 1024, kernel_size=1)
        self.conv6_1 = nn.Conv2d(1024, 256, kernel_size=1)
        self.conv6_2 = nn.Conv2d(256, 512, kernel_size=3, stride=2, padding=1)
        self.conv7_1 = nn.Conv2d(512, 128, kernel_size=1)
        self.conv7_2 = nn.Conv2d(128, 256, kernel_size=3, stride=2, padding=1)
        self._smallest_image = SMALLEST_IMAGE[pools]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps of the six levels, finest first.

        Args:
            x: ``[B, 3, H, W]``, as `S3FD.preprocess` makes it.

        Raises:
            ValueError: the image is so small that a pool would leave nothing of it.
        """
        if min(x.shape[-2:]) < self._smallest_image:
            raise ValueError(
                f"x: expected at least {self._smallest_image} x {self._smallest_image} pixels, "
                f"got {x.shape[-2]} x {x.shape[-1]}; pad or enlarge the images"
            )
        x = self.pool1(_relu(x, self.conv1_1, self.conv1_2))
        x = self.pool2(_relu(x, self.conv2_1, self.conv2_2))
        conv3_3 = _relu(x, self.conv3_1, self.conv3_2, self.conv3_3)  # stride 4
        conv4_3 = _relu(self.pool3(conv3_3), self.conv4_1, self.conv4_2, self.conv4_3)  # stride 8
        conv5_3 = _relu(self.pool4(conv4_3), self.conv5_1, self.conv5_2, self.conv5_3)  # stride 16
        fc7 = _relu(self.pool5(conv5_3), self.fc6, self.fc7)  # stride 32
        conv6_2 = _relu(fc7, self.conv6_1, self.conv6_2)  # stride 64
        conv7_2 = _relu(conv6_2, self.conv7_1, self.conv7_2)  # stride 128
        return [
            self.conv3_3_norm(conv3_3),
            self.conv4_3_norm(conv4_3),
            self.conv5_3_norm(conv5_3),
            fc7,
            conv6_2,
            conv7_2,
        ]


def _relu(x: Tensor, *convolutions: nn.Module) -> Tensor:
    """A chain of convolutions, each with its ReLU."""
    for convolution in convolutions:
        x = F.relu(convolution(x), inplace=True)
    return x
