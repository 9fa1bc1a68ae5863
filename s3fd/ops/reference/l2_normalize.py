"""Twin of :func:`s3fd.ops.l2_normalize`."""

import torch
from torch import Tensor

EPSILON = 1e-10


def l2_normalize(
    features: Tensor,  # [B, C, H, W]
    weight: Tensor,  # [C]
) -> Tensor:  # [B, C, H, W]
    """Divides each pixel by the norm of its channels, then scales each channel."""
    assert features.ndim == 4
    assert weight.shape == features.shape[1:2]
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    x, scale = features.to(dtype), weight.to(dtype)[:, None, None]  # [B, C, H, W], [C, 1, 1]
    norm: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)  # [B, 1, H, W]
    return (x / (norm + EPSILON) * scale).to(features.dtype)
