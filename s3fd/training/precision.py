"""Mixed precision: in what a network computes, and the scaling that float16 needs."""

from __future__ import annotations

import torch

from s3fd.devices import multiplies_in_bfloat16


class Precision:
    """Autocast and gradient scaling of a run.

    Matching, loss, weights and optimiser are float32 always. The gradients of float16 would
    underflow: their loss is scaled by a factor that adapts, and a step that overflows is skipped.

    Args:
        name: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: bfloat16 where the
            hardware computes in it, float32 elsewhere.
        device: where.
        smallest_input: side of the smallest images, in pixels. For those of 64 px ``"auto"`` is
            float32 on a CPU: the gradient of a strided convolution of one pixel reads stray memory
            in bfloat16 there (torch 2.13, oneDNN).

    Attributes:
        dtype: of the network's arithmetic.
        scaler: does nothing but for float16.
    """

    def __init__(self, name: str, device: torch.device, smallest_input: int = 640) -> None:
        if name == "auto":
            spoilt = device.type == "cpu" and smallest_input <= 64
            name = "bfloat16" if multiplies_in_bfloat16(device) and not spoilt else "float32"
        self.dtype: torch.dtype = getattr(torch, name)
        self._device = device.type
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "float16")

    def autocast(self) -> torch.autocast:
        """A context in which the network runs."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self._device, self.dtype if enabled else None, enabled=enabled)
