"""A convolution with its batch norm, which backbones without L2 norms are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNorm(nn.Module):
    """Convolution, batch norm and ReLU; with `residual`, the input is added before the ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        stride: int = 1,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)
        self.residual = residual
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, H, W]`` to ``[B, outputs, ceil(H / stride), ceil(W / stride)]``."""
        y: Tensor = self.norm(self.conv(x))
        if self.residual:
            y = y + x
        return F.relu(y, inplace=True)

    def fuse(self) -> None:
        """Folds the batch norm into the convolution; in evaluation mode the outputs stay."""
        if isinstance(self.norm, nn.BatchNorm2d):
            with torch.no_grad():
                self.conv = nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()
