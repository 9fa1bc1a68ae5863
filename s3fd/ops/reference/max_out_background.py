"""Twin of :func:`s3fd.ops.max_out_background`."""

import torch
from torch import Tensor


def max_out_background(
    logits: Tensor,  # [B, k + 1, H, W]
) -> Tensor:  # [B, 2, H, W]
    """Replaces the k background logits by their maximum; the face stays as it is."""
    background = logits[:, :-1].max(dim=1, keepdim=True).values  # [B, 1, H, W]
    return torch.cat([background, logits[:, -1:]], dim=1)


def max_out_background_backward(
    gradient: Tensor,  # [B, 2, H, W]
    logits: Tensor,  # [B, k + 1, H, W]
) -> Tensor:  # [B, k + 1, H, W]
    """The background's gradient goes to the logit that was taken, the face's to the face."""
    strongest = logits[:, :-1].max(dim=1, keepdim=True).indices  # [B, 1, H, W]
    backgrounds = torch.zeros_like(logits[:, :-1]).scatter_(1, strongest, gradient[:, :1])
    return torch.cat([backgrounds, gradient[:, 1:]], dim=1)
