"""Twin of :func:`s3fd.ops.l2_normalize`."""

import torch
from torch import Tensor

EPSILON = 1e-10
TINY = torch.finfo(torch.float32).tiny


def l2_normalize(
    features: Tensor,  # [B, C, H, W]
    weight: Tensor,  # [C]
) -> Tensor:  # [B, C, H, W]
    """Divides each pixel by the norm of its channels, then scales each channel."""
    assert features.ndim == 4
    assert weight.shape == features.shape[1:2]
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    x, scale = features.to(dtype), weight.to(dtype)[:, None, None]  # [B, C, H, W], [C, 1, 1]
    # On the CPU far faster than vector_norm(). The clamp keeps the root's gradient finite where a
    # pixel is 0, and is far below what EPSILON lets through.
    square = x.square().sum(dim=1, keepdim=True).clamp(min=TINY)  # [B, 1, H, W]
    norm = square.sqrt()
    return (x / (norm + EPSILON) * scale).to(features.dtype)
