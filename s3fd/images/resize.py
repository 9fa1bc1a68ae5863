"""The one way in which pictures are scaled, for training and for detection."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from s3fd.images.types import UInt8Array


def resized(
    image: UInt8Array, height: int, width: int, extent: tuple[float, float] | None = None
) -> UInt8Array:
    """As Pillow's bilinear `resize`, antialiased, and several times faster.

    Args:
        image: ``[H, W, 3]``.
        height: of the result.
        width: of the result.
        extent: height and width of what becomes the result, from the upper left corner, in pixels
            of `image`: less than one smaller than it, and no smaller than the result. None for
            all.

    Example:
        >>> resized(np.full((4, 6, 3), 7, dtype=np.uint8), 2, 3)[0, 0]
        array([7, 7, 7], dtype=uint8)
    """
    if image.shape[:2] == (height, width):
        return image
    # torch warns of arrays that are read-only, as Pillow's and those of a cache are.
    pixels: Tensor = torch.from_numpy(np.require(image, requirements=["C", "W"]))
    batch = pixels[None].permute(0, 3, 1, 2)  # [1, 3, H, W], channels last
    if extent is None or extent == image.shape[:2]:
        scaled = interpolate(batch, size=(height, width), mode="bilinear", antialias=True)
    else:
        # By factors, which may say that the last row and column are cut by a fraction. Rounded up,
        # so that the size that torch makes of them is not too small.
        factors = (height / extent[0], width / extent[1])
        scaled = interpolate(
            batch,
            scale_factor=tuple(math.nextafter(factor, math.inf) for factor in factors),
            mode="bilinear",
            antialias=True,
            recompute_scale_factor=False,
        )[:, :, :height, :width]
    return np.ascontiguousarray(scaled[0].permute(1, 2, 0).numpy())
