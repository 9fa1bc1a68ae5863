"""Odd arguments to every operator: an answer that does not depend on how they lie, or a refusal.

Each case takes a call as the public functions make it, and changes some of its arguments. With
``--sanitize`` the kernels watch their memory themselves.
"""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from judge import REFUSED, RIGHT, Fault, attempt, expect
from torch import Tensor
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from operator_calls import OperatorCalls, in_channels_last, shifted

CASES, QUICK = 40_000, 2000
SECONDS = 120
_MEMORY = 6 << 30  # bytes that a case may ask for

_INTEGERS = (-(2**62), -(2**31), -5, -1, 0, 1, 2, 3, 7, 50, 1000, 2**31 - 1, 2**31, 2**62)
_FLOATS = (
    float("nan"),
    float("inf"),
    -float("inf"),
    -1.0,
    -0.0,
    0.0,
    1e-45,
    0.3,
    1.0,
    7.0,
    1e30,
    1e300,
)
_DTYPES = (
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
    torch.complex64,
)


class _Recorder(TorchFunctionMode):
    """Keeps the calls of the raw operators."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, list[Any]]] = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = str(function)
        if name.startswith("s3fd."):
            self.calls.append((name.split(".")[1], [_copied(value) for value in args]))
        return function(*args, **(kwargs or {}))


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    torch.set_num_threads(2)
    if "LD_PRELOAD" not in os.environ:  # a sanitizer maps the whole address space
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _MEMORY,) * 2)
    calls = {size: _recorded(size, seed) for size in (1, 5, 90)}

    def case(index: int) -> str:
        rng = Random(f"{seed} {index}")
        recorded = calls[rng.choice(list(calls))]
        name, arguments = recorded[index % len(recorded)]
        arguments = [_copied(value) for value in arguments]
        torch.manual_seed(index)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3)) if index >= len(recorded) else 0):
            at = rng.randrange(len(arguments))
            arguments[at] = _odd(arguments[at], rng)
        outcome = _call(name, arguments, rng)
        expect(outcome == RIGHT or index >= len(recorded), f"{name} refuses a usual call")
        return outcome

    return case


def _recorded(size: int, seed: int) -> list[tuple[str, list[Any]]]:
    """Usual calls of all operators, and of what gives their gradients."""
    with _Recorder() as recorder:
        for call in OperatorCalls(size, seed=seed).calls.values():
            call()
    forward = {_without_forward(name): arguments for name, arguments in recorder.calls}
    # Public functions leave the gradient to torch only where a compiler looks on.
    with_gradient = [name for name, _ in recorder.calls if name.endswith("_forward")]
    calls = [*recorder.calls]
    calls += [(name, forward[name]) for name in map(_without_forward, with_gradient)]
    for name in ("l2_normalize", "max_out_background", "encode_boxes", "decode_boxes"):
        arguments = forward[name]
        gradient = torch.ones_like(getattr(torch.ops.s3fd, name)(*arguments))
        flags = [True] if name.endswith("boxes") else []
        calls.append((f"{name}_backward", [gradient, *arguments, *flags]))
    loss = forward["multibox_loss"]
    *_, kept, counts = torch.ops.s3fd.multibox_loss(*loss)
    one = torch.ones(())
    arguments = [one, one, *loss[:6], kept, counts, *loss[7:]]
    return [*calls, ("multibox_loss_backward", arguments)]


def _without_forward(name: str) -> str:
    return name.removesuffix("_forward")


def _call(name: str, arguments: list[Any], rng: Random) -> str:
    """Calls an operator twice, on the same values that lie in memory otherwise."""
    operator = getattr(torch.ops.s3fd, name)
    plain = [_copied(value) for value in arguments]
    moved = [_moved(value, rng) for value in arguments]
    errors = (RuntimeError, TypeError, ValueError)
    try:
        outcome, answer = attempt(lambda: operator(*moved), errors=errors)
        again, same = attempt(lambda: operator(*plain), errors=errors)
    except Fault as fault:
        if "not one line" not in str(fault):  # torch's own messages have several
            raise Fault(f"{name}: {fault}") from None
        return REFUSED
    if outcome == REFUSED and ("contiguous" in answer or name.endswith("_backward")):
        return again  # these operators leave it to the public functions
    expect(outcome == again, f"{name}: {outcome}, and {again} where it lies otherwise in memory")
    if outcome == RIGHT:
        pairs = zip(_tensors(answer), _tensors(same), strict=True)
        expect(
            all(map(_equal, *zip(*pairs, strict=True))),
            f"{name}: another answer where its arguments lie otherwise in memory",
        )
        expect(_unchanged(plain, arguments), f"{name}: changes its arguments")
    return outcome


def _equal(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return False
    if ours.is_meta or ours.numel() == 0:
        return True
    return torch.allclose(ours.double(), theirs.double(), rtol=1e-2, atol=1e-30, equal_nan=True)


def _unchanged(now: list[Any], before: list[Any]) -> bool:
    pairs = zip(map(_tensors, now), map(_tensors, before), strict=True)
    return all(
        _equal(a, b)
        for ours, theirs in pairs
        for a, b in zip(ours, theirs, strict=True)
        if a.dtype != torch.complex64
    )


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return (
        [part for part in value if isinstance(part, Tensor)]
        if isinstance(value, list | tuple)
        else []
    )


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone(memory_format=torch.contiguous_format)
    return [_copied(part) for part in value] if isinstance(value, list | tuple) else value


def _moved(value: Any, rng: Random) -> Any:
    """The same values in another place, and in another order, of memory."""
    if isinstance(value, list):
        return [_moved(part, rng) for part in value]
    if not isinstance(value, Tensor) or value.is_meta:
        return value
    ways = (shifted, in_channels_last, _every_other, _transposed, lambda tensor: tensor)
    return rng.choice(ways)(value.clone())


def _every_other(tensor: Tensor) -> Tensor:
    spread = torch.empty(*tensor.shape, 2, dtype=tensor.dtype)
    return spread[..., 0].copy_(tensor)


def _transposed(tensor: Tensor) -> Tensor:
    return tensor if tensor.dim() < 2 else tensor.transpose(0, 1).contiguous().transpose(0, 1)


def _odd(value: Any, rng: Random) -> Any:
    """Something else in place of an argument, for the most part of the same type."""
    if isinstance(value, Tensor):
        return _odd_tensor(value, rng)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(_INTEGERS)
    if isinstance(value, float):
        return rng.choice(_FLOATS)
    if not isinstance(value, list) or rng.random() < 0.05:
        return rng.choice((None, [], [1, 2], 0.5, "face"))
    changed = list(value)
    what = rng.random()
    if what < 0.15 and changed:
        del changed[rng.randrange(len(changed))]
    elif what < 0.3 and changed:
        changed.append(rng.choice(changed))
    elif changed:
        at = rng.randrange(len(changed))
        changed[at] = _odd(changed[at], rng)
    return changed


def _odd_tensor(tensor: Tensor, rng: Random) -> Tensor:
    what = rng.random()
    if what < 0.3 and tensor.dim():
        return _resized(tensor, rng)
    if what < 0.4:
        return tensor.to(rng.choice(_DTYPES))
    if what < 0.45:
        return rng.choice(
            (tensor[None], tensor.flatten(), tensor.to("meta"), tensor.sum(), tensor[..., None])
        )
    if not tensor.numel():
        return tensor
    odd, flat = tensor.clone(), rng.choice((1, 1, 3, tensor.numel()))
    places = torch.randint(0, tensor.numel(), (flat,))
    if tensor.is_floating_point():
        values = torch.tensor([rng.choice(_FLOATS) for _ in range(flat)], dtype=torch.float64)
    else:
        values = torch.tensor([rng.choice(_INTEGERS) for _ in range(flat)])
    odd.view(-1)[places] = values.to(tensor.dtype)
    return odd


def _resized(tensor: Tensor, rng: Random) -> Tensor:
    shape = list(tensor.shape)
    at = rng.randrange(len(shape))
    shape[at] = max(0, rng.choice((0, 1, shape[at] - 1, shape[at] + 1, shape[at] * 2, 3)))
    values = tensor.flatten()
    count = torch.Size(shape).numel()
    if not values.numel():
        return torch.zeros(shape, dtype=tensor.dtype)
    return values.repeat(-(-count // values.numel()))[:count].view(shape)
