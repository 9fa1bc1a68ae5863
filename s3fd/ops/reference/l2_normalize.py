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
    return (x * _inverse_norm(x) * scale).to(features.dtype)


def l2_normalize_backward(
    gradient: Tensor,  # [B, C, H, W]
    features: Tensor,  # [B, C, H, W]
    weight: Tensor,  # [C]
) -> tuple[Tensor, Tensor]:  # [B, C, H, W], [C]
    """Gradients of :func:`l2_normalize` with respect to the features and to the weight."""
    dtype = torch.float64 if features.dtype == torch.float64 else torch.float32
    x, received = features.to(dtype), gradient.to(dtype)
    inverse = _inverse_norm(x)  # [B, 1, H, W]
    of_weight = (received * x * inverse).sum(dim=(0, 2, 3))
    scaled = received * weight.to(dtype)[:, None, None]  # [B, C, H, W]
    norm = _norm(x)
    pull = (scaled * x).sum(dim=1, keepdim=True) / norm * inverse.square()  # [B, 1, H, W]
    of_features = scaled * inverse - x * pull
    return of_features.to(features.dtype), of_weight.to(weight.dtype)


def _inverse_norm(x: Tensor) -> Tensor:  # [B, C, H, W] -> [B, 1, H, W]
    return 1 / (_norm(x) + EPSILON)


def _norm(x: Tensor) -> Tensor:  # [B, C, H, W] -> [B, 1, H, W]
    # On the CPU far faster than vector_norm(). The clamp keeps the root's gradient finite where a
    # pixel is 0, and is far below what EPSILON lets through.
    return x.square().sum(dim=1, keepdim=True).clamp(min=TINY).sqrt()
