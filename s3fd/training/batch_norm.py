"""Batch norm over the images of all processes, so that N small batches are one large one."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _SumOverProcesses(torch.autograd.Function):
    """The sum of a tensor over all processes; so is the gradient, for each of them uses the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        dist.all_reduce(gradient)
        return gradient


class SyncedBatchNorm(nn.BatchNorm2d):
    """What `torch.nn.SyncBatchNorm` does, which runs on GPUs alone, for the CPU.

    In two passes, mean and then variance: the numbers are those of one process, but for rounding.
    Sums over the processes are differentiable.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to the same; processes may have different numbers of images."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        dtype = x.dtype
        if dtype != torch.float64:
            x = x.float()
        count = x.new_tensor(x.numel() / x.shape[1])
        dist.all_reduce(count)
        mean = _sum(x.sum(dim=(0, 2, 3))) / count  # [C]
        centred = x - mean[:, None, None]
        variance = _sum(centred.square().sum(dim=(0, 2, 3))) / count  # [C]
        with torch.no_grad():
            assert self.momentum is not None
            unbiased = variance * (count / (count - 1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
            self.num_batches_tracked += 1
        factor = self.weight * torch.rsqrt(variance + self.eps)
        y: Tensor = centred * factor[:, None, None] + self.bias[:, None, None]
        return y.to(dtype)


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(x)  # type: ignore[no-untyped-call]
    return total


def has_batch_norm(model: nn.Module) -> bool:
    """Whether a step needs more than one value of each channel."""
    kinds = nn.BatchNorm2d, nn.SyncBatchNorm
    return any(isinstance(module, kinds) for module in model.modules())


def synchronize_batch_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """Makes every batch norm of a model, on `device`, one over all processes.

    Names and values of parameters and statistics stay. The model itself is changed, and returned.
    """
    if device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return converted
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _synced(child))
    return model


def _synced(norm: nn.BatchNorm2d) -> SyncedBatchNorm:
    synced = SyncedBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    synced.load_state_dict(norm.state_dict(), assign=True)
    return synced.train(norm.training)
