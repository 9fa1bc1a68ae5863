"""What a benchmark is: one function in several implementations, on the same arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

Function: TypeAlias = Callable[..., Any]

DATA_DEPENDENT = "its steps depend on the data, so that little is left to compile"


class DisagreementError(Exception):
    """Two implementations gave different answers."""


def same(expected: Any, actual: Any) -> None:
    """Raises unless two results are equal to the last bit: indices and other decisions."""
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def close(expected: Any, actual: Any) -> None:
    """Raises unless two results are equal but for how floats round; their integers are equal."""
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def forward(function: Function) -> Function:
    """Calls ``function`` as it is."""
    return function


def forward_and_backward(function: Function) -> Function:
    """Calls ``function`` and derives the sum of its results: gives results and gradients."""

    def run(*arguments: Any) -> tuple[Any, ...]:
        results = function(*arguments)
        outputs: tuple[Tensor, ...] = results if isinstance(results, tuple) else (results,)
        inputs = [a for a in arguments if isinstance(a, Tensor) and a.requires_grad]
        seeds = [_gradient_like(output) for output in outputs]
        gradients = torch.autograd.grad(outputs, inputs, seeds)
        return (*(output.detach() for output in outputs), *gradients)

    return run


_seeds: dict[tuple[Any, ...], Tensor] = {}


def _gradient_like(output: Tensor) -> Tensor:
    """A gradient that is neither constant nor made anew at each call."""
    key = (output.shape, output.stride(), output.dtype, output.device)
    if key not in _seeds:
        steps = torch.arange(output.numel(), device=output.device).remainder(7).add(1)
        _seeds[key] = torch.empty_like(output).copy_(steps.view(output.shape)).detach()
    return _seeds[key]


@dataclass(frozen=True)
class Case:
    """One line of the table.

    Attributes:
        operator: stem of the operator's files; one panel of the plot.
        series: what is done, the same for all sizes of it; one curve of the panel.
        name: size and input.
        size: the number that the plot has on its horizontal axis.
        unit: what that number counts.
        arguments: what every implementation is called with.
        ours: the operator.
        twin: the same in PyTorch.
        bytes_moved: what has to be read and written at least, when each input is read once.
        agree: raises where the second result does not stand for the first.
        torchvision: the same in ``torchvision.ops``, by name.
        peers: other packages' implementations by name: each gets the arguments, and makes of them
            what is called; ImportError where the package is not installed.
        around: turns an implementation into what is called: ``forward_and_backward``, for example.
        not_compiled: why the twin is not compiled, if it is not.
    """

    operator: str
    series: str
    name: str
    size: int
    unit: str
    arguments: tuple[Any, ...]
    ours: Function
    twin: Function
    bytes_moved: int
    agree: Callable[[Any, Any], None] = same
    torchvision: str | None = None
    peers: Mapping[str, Callable[..., Function]] = field(default_factory=dict)
    around: Callable[[Function], Function] = forward
    not_compiled: str = ""

    @classmethod
    def of_boxes(
        cls, operator: str, series: str, arguments: tuple[Any, ...], **others: Any
    ) -> Case:
        """Of an operator that reads all of its tensors; the first are boxes ``[N, 4]``."""
        count = len(arguments[0])
        return cls(
            operator=operator,
            series=series,
            name=f"{count} boxes",
            size=count,
            unit="boxes",
            arguments=arguments,
            bytes_moved=sum(a.nbytes for a in arguments if isinstance(a, Tensor)),
            not_compiled=DATA_DEPENDENT,
            **others,
        )

    @property
    def title(self) -> str:
        """What ``--filter`` looks into, and what messages name."""
        return f"{self.operator}: {self.series}, {self.name}"
