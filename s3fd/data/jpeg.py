"""What JPEG does to levels, on any device: the twin of `s3fd.data.wear.compress`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

# ITU-T T.81, annex K: the tables that encoders scale by the quality.
_LUMA = """
16 11 10 16 24 40 51 61  12 12 14 19 26 58 60 55  14 13 16 24 40 57 69 56  14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77  24 35 55 64 81 104 113 92  49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
_CHROMA = (
    """
17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99  24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
"""
    + 32 * " 99"
)
# Of JFIF: from red, green and blue to a luma and two chromas, which lie around 128.
_TO_YCC = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
_FROM_YCC = torch.tensor([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """Levels as they come out of a JPEG whose chroma has half the resolution.

    Args:
        images: ``[N, H, W, 3]``, floating point, whole numbers from 0 to 255, RGB.
        quality: ``[N]``, 1 to 100.

    Returns:
        The same, changed.
    """
    height, width = images.shape[1:3]
    device = images.device
    middle = torch.tensor([0.0, 128.0, 128.0], device=device)
    ycc = (images @ _TO_YCC.to(device).T + middle).round().permute(0, 3, 1, 2)
    ycc = pad(ycc, (0, -width % 16, 0, -height % 16), mode="replicate")
    luma = _quantized(ycc[:, :1], _table(_LUMA, quality))
    chroma = _quantized(avg_pool2d(ycc[:, 1:], 2).round(), _table(_CHROMA, quality))
    chroma = interpolate(chroma, scale_factor=2, mode="bilinear").round()
    ycc = torch.cat([luma, chroma], 1)[:, :, :height, :width].permute(0, 2, 3, 1)
    return ((ycc - middle) @ _FROM_YCC.to(device).T).round().clamp(0, 255)


def _table(text: str, quality: Tensor) -> Tensor:
    """The steps of the coefficients, ``[N, 8, 8]``, as libjpeg scales them."""
    base = torch.tensor([float(word) for word in text.split()], device=quality.device).view(8, 8)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality).float()
    return ((base * percent[:, None, None] + 50) / 100).floor().clamp(1, 255)


def _quantized(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes ``[N, C, H, W]``, whose sides are multiples of 8, after their way through blocks."""
    count, channels, height, width = planes.shape
    cosines = _cosines(planes.device)
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4) - 128
    spectrum = cosines @ blocks @ cosines.T
    steps = steps[:, None, None, None]
    blocks = cosines.T @ ((spectrum / steps).round() * steps) @ cosines
    planes = (blocks + 128).round().clamp(0, 255)
    return planes.transpose(3, 4).reshape(count, channels, height, width)


def _cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of eight numbers, ``[8, 8]``."""
    number = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos(math.pi / 8 * (number + 0.5) * number[:, None]) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.float().to(device)
