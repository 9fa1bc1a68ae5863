"""The scaled L2 norm over channels that S3FD puts behind its finest levels."""

from __future__ import annotations

import torch
from torch import Tensor

from s3fd.ops import reference
from s3fd.ops._checks import check_tensor, describe


def l2_normalize(features: Tensor, weight: Tensor) -> Tensor:
    """Gives each pixel's channels the norm 1, then scales each channel by a learned weight.

    ``features / (norm + 1e-10) * weight`` with ``norm = sqrt(sum over channels of features**2)``:
    the L2 normalisation of ParseNet (arXiv 1506.04579, section 3.3). S3FD (arXiv 1708.05237,
    section 3.1) applies it to conv3_3, conv4_3 and conv5_3, whose features are far larger than
    those of the deeper levels, with weights that start at 10, 8 and 5. The small number is added
    to the norm, not under the root, as in the published networks.

    Args:
        features (Tensor[B, C, H, W]): any floating-point dtype, in any memory layout.
        weight (Tensor[C]): any floating-point dtype.

    Returns:
        Tensor[B, C, H, W]: in the dtype of ``features``; float32 under autocast. It is computed
        in float32, or in float64 for float64 ``features``. Differentiable in both arguments. A
        pixel whose channels are all 0 stays 0; its gradient is ``weight * 1e10`` times that of the
        output: finite, and 0 behind a ReLU. NaN and infinity make their pixel NaN. An empty map
        gives an empty map.

    Raises:
        TypeError: an argument is no floating-point tensor.
        ValueError: a shape does not fit, or the two are on different devices.

    Example:
        >>> import torch
        >>> from s3fd.ops import l2_normalize
        >>> features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
        >>> l2_normalize(features, torch.tensor([10.0, 10.0])).flatten()
        tensor([6., 8.])
    """
    check_tensor("features", features, ("B", "C", "H", "W"))
    check_tensor("weight", weight, (features.shape[1],))
    if weight.device != features.device:
        raise ValueError(
            f"weight: expected a tensor on {features.device} like features, "
            f"got {describe(weight)}; move it with .to(features.device)"
        )
    kind = features.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    if autocast and features.dtype != torch.float64:
        features = features.float()
    return reference.l2_normalize(features, weight)
