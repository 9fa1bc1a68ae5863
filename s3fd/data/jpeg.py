"""What JPEG does to levels, on any device: the twin of `s3fd.data.wear.compress`."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

# ITU-T T.81, annex K: the tables that encoders scale by the quality.
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMA = (
    17, 18, 24, 47, *4 * (99,),
    18, 21, 26, 66, *4 * (99,),
    24, 26, 56, 99, *4 * (99,),
    47, 66, 99, 99, *36 * (99,),
)  # fmt: skip
# Of JFIF: from red, green and blue to a luma and two chromas, which lie around 128.
_TO_YCC = (0.299, 0.587, 0.114, -0.168736, -0.331264, 0.5, 0.5, -0.418688, -0.081312)
_FROM_YCC = (1.0, 0.0, 1.402, 1.0, -0.344136, -0.714136, 1.0, 1.772, 0.0)
_ALMOST = 1e-4  # sums in float32 are less wrong than that: halves and whole numbers stay these


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """Levels as they come out of a JPEG whose chroma has half the resolution, as libjpeg rounds.

    Args:
        images: ``[N, H, W, 3]``, float32, whole numbers from 0 to 255, RGB.
        quality: ``[N]``, 1 to 100.

    Returns:
        The same, changed.
    """
    height, width = images.shape[1:3]
    device = images.device
    middle = _constant((0.0, 128.0, 128.0), device)
    ycc = _rounded(images @ _constant(_TO_YCC, device).view(3, 3).T + middle).permute(0, 3, 1, 2)
    ycc = pad(ycc, (0, -width % 16, 0, -height % 16), mode="replicate")
    luma = _quantized(ycc[:, :1], _table(_LUMA, quality))
    # Where a chroma lies half way between two levels, columns take the one and the other in turn.
    odd = torch.arange(ycc.shape[3], device=device) % 2
    halved = (avg_pool2d(ycc[:, 1:], 2) + (1 + odd[: len(odd) // 2]) / 4).floor()
    chroma = _quantized(halved, _table(_CHROMA, quality))
    doubled = interpolate(chroma, scale_factor=2, mode="bilinear")
    chroma = (doubled + (8 - odd) / 16 + _ALMOST).floor()
    ycc = torch.cat([luma, chroma], 1)[:, :, :height, :width].permute(0, 2, 3, 1)
    return _rounded((ycc - middle) @ _constant(_FROM_YCC, device).view(3, 3).T).clamp(0, 255)


def _rounded(values: Tensor) -> Tensor:
    """To the nearest whole number, of two to the upper one."""
    return (values + 0.5 + _ALMOST).floor()


def _table(base: tuple[float, ...], quality: Tensor) -> Tensor:
    """The steps of the coefficients, ``[N, 8, 8]``, as libjpeg scales them."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    steps = _constant(base, quality.device).view(8, 8) * percent[:, None, None]
    return ((steps + 50) / 100 + _ALMOST).floor().clamp(1, 255)


def _quantized(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes ``[N, C, H, W]``, whose sides are multiples of 8, after their way through blocks."""
    count, channels, height, width = planes.shape
    cosines = _cosines(planes.device)
    blocks = planes.reshape(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4) - 128
    steps = steps[:, None, None, None]
    spectrum = (cosines @ blocks @ cosines.T) / steps
    spectrum = spectrum.sign() * _rounded(spectrum.abs()) * steps
    planes = _rounded(cosines.T @ spectrum @ cosines + 128).clamp(0, 255)
    return planes.transpose(3, 4).reshape(count, channels, height, width)


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=device)


@lru_cache(maxsize=8)
def _cosines(device: torch.device) -> Tensor:
    """The orthonormal cosine transform of eight numbers, ``[8, 8]``."""
    number = torch.arange(8, dtype=torch.float64)
    matrix = torch.cos(math.pi / 8 * (number + 0.5) * number[:, None]) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.float().to(device)
