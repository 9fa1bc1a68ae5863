"""A device that s3fd has no kernels for, and that has no float64, as MPS: the CPU by another name.

with elsewhere():
    nms(boxes.to(DEVICE), scores.to(DEVICE), 0.5).cpu()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = "lazy"  # one that torch can name whatever it is built for, and that nothing here uses
_KEY = "Lazy"


@contextmanager
def elsewhere(*, has_float64: bool = False) -> Iterator[None]:
    """While it lasts there is such a device.

    Args:
        has_float64: as other devices than MPS have.
    """
    with _Functions(), _Operators(has_float64):
        yield


def run_elsewhere(operator: Callable[..., Any], *arguments: Any) -> Any:
    """What an operator gives there for tensors of the CPU, again on the CPU."""
    has_float64 = any(tensor.dtype == torch.float64 for tensor in _tensors(arguments))
    with elsewhere(has_float64=has_float64):
        there = tree_map_only(Tensor, lambda tensor: tensor.to(DEVICE), arguments)
        result = operator(*there)
    assert all(tensor.device.type == DEVICE for tensor in _tensors(result))
    return _numbers(result)


class _Tensor(Tensor):
    """A tensor of that device, whose numbers are in one of the CPU."""

    numbers: Tensor

    @staticmethod
    def __new__(cls, numbers: Tensor) -> _Tensor:
        made: _Tensor = Tensor._make_wrapper_subclass(
            cls,
            numbers.shape,
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
        )
        made.numbers = numbers
        return made

    def __repr__(self, **_: Any) -> str:
        return f"{DEVICE} {self.numbers}"

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), named: Any = None):
        raise RuntimeError(f"{function} of a tensor of {DEVICE}, where there is none")


class _Operators(TorchDispatchMode):
    """Computes on the CPU, and runs of our operators what torch would run there."""

    def __init__(self, has_float64: bool) -> None:
        super().__init__()
        self._has_float64 = has_float64

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None):
        named = named or {}
        comes = any(isinstance(tensor, _Tensor) for tensor in _tensors((arguments, named)))
        if comes and function.namespace == "s3fd":
            kernel = torch.library.get_kernel(function, _KEY)
            with self:
                key = torch.DispatchKeySet(getattr(torch.DispatchKey, _KEY))
                return kernel.call_boxed(key, *arguments)
        device = named.get("device")
        stays = comes if device is None else torch.device(device).type == DEVICE
        if device is not None:
            named = {**named, "device": torch.device("cpu")}
        result = function(*_numbers(arguments), **_numbers(named))
        if function._schema.is_mutable:  # all of torch's that are called change their first
            return arguments[0]
        return tree_map_only(Tensor, self._made, result) if stays else result

    def _made(self, numbers: Tensor) -> _Tensor:
        if numbers.dtype == torch.float64 and not self._has_float64:
            raise TypeError(f"{DEVICE} has no float64")
        return _Tensor(numbers)


class _Functions(TorchFunctionMode):
    """What torch does with tensors before any operator is called."""

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None):
        named = dict(named or {})
        if function is torch.tensor:
            device = named.pop("device", None)
            made = function(*arguments, **named)
            return made if device is None else made.to(device)
        if function is Tensor.tolist:
            arguments = _numbers(arguments)
        return function(*arguments, **named)


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, Tensor)]


def _numbers(values: Any) -> Any:
    return tree_map_only(_Tensor, lambda tensor: tensor.numbers, values)
