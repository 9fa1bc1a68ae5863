"""A convolution with its batch norm, which backbones without L2 norms are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution, batch norm and ReLU; it keeps the resolution, or divides it by the stride.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel_size: odd side of the convolution's kernel.
        stride: of the convolution.
        groups: of the convolution; as many as `inputs` for a depthwise one.
        residual: whether the input is added before the ReLU.
        activation: whether there is a ReLU.
        epsilon: what the batch norm adds to the variance.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        groups: int = 1,
        residual: bool = False,
        activation: bool = True,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            kernel_size,
            stride,
            padding=kernel_size // 2,
            groups=groups,
            bias=False,
        )
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=epsilon)
        self.residual = residual
        self.activation = activation
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, H, W]`` to ``[B, outputs, ceil(H / stride), ceil(W / stride)]``."""
        y: Tensor = self.norm(self.conv(x))
        if self.residual:
            y = y + x
        return F.relu(y, inplace=True) if self.activation else y

    def fuse(self) -> None:
        """Folds the batch norm into the convolution; in evaluation mode the outputs stay."""
        if isinstance(self.norm, nn.BatchNorm2d):
            with torch.no_grad():
                self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()
