"""What an operator runs on devices that s3fd has no kernels for, called with tensors of the CPU."""

from typing import Any

import torch


def run_elsewhere(operator: Any, *arguments: Any) -> Any:
    kernel = torch.library.get_kernel(operator, "MPS")
    return kernel.call_boxed(torch.DispatchKeySet(torch.DispatchKey.MPS), *arguments)
