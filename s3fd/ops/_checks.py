"""Checks of what a user passes to an operator: the only place where they are written.

Each raises ``TypeError`` (not the kind of object that is expected) or ``ValueError`` (the right
kind, but not usable), naming the argument, what was expected, what came, and the remedy.

Checks of tensors take longer than a small operator. Where its kernel looks at them anyway, before
it reads any memory, they are made only to say in the user's words what it has refused.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))
VARIANCES = (0.1, 0.2)  # SSD's, and the default of all that takes some; signatures spell it out
_INT64_MAX = 2**63 - 1
_EXACT = 2**53  # up to it a float holds every integer
_LEAST, _MOST = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).max
_MOST_PADDED_ROWS = 2**31 - 1
_TRACED = (
    "tensors, as under torch.jit.trace, which is not supported; use torch.export.export, or "
    "`s3fd export` for a whole detector"
)


class ShapeError(ValueError, RuntimeError):
    """A tensor of a wrong shape, which is a RuntimeError to torch and torchvision."""


def is_checked_by_kernel(*values: object) -> bool:
    """Whether an operator on these tensors is a kernel of ours, which checks what it gets."""
    if torch.compiler.is_compiling():
        return False
    for value in values:  # a generator would take twice as long
        if not isinstance(value, Tensor) or not (value.is_cpu or value.is_cuda):
            return False
        if value.layout != torch.strided:
            return False
    return True


def explain(check: Callable[..., object], *arguments: Any) -> None:
    """Makes a check of what a kernel has refused; the error that it raises stands for the other."""
    try:
        check(*arguments)
    except (TypeError, ValueError) as error:
        raise error from None


def describe(value: object) -> str:
    """What ``value`` is, in the words of an error message."""
    if isinstance(value, Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{dtype} {list(value.shape)} on {value.device}"
    shape = getattr(value, "shape", None)
    if shape is not None:  # a numpy array, for example
        return f"{type(value).__name__} {list(shape)}"
    return f"{type(value).__name__} {reprlib.repr(value)}"


def check_tensor(
    name: str, value: object, shape: Sequence[str | int], *, dtype: torch.dtype | None = None
) -> Tensor:
    """Checks that ``value`` is a tensor of a given shape and dtype, and returns it.

    Args:
        name: the argument's name.
        value: what was passed.
        shape: an integer for each dimension of a fixed length, a letter for each free one; a
            leading ``"..."`` for any number of them: ``("...", "A", 4)``.
        dtype: the dtype; None for any floating-point one.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{_expected(name, shape, dtype)}, got {describe(value)}; "
            "convert it with torch.as_tensor"
        )
    if value.is_nested:
        raise TypeError(
            f"{_expected(name, shape, dtype)}, got a nested one; pass one of its parts: .unbind()"
        )
    if value.layout != torch.strided:
        kind = str(value.layout).removeprefix("torch.")
        raise TypeError(
            f"{_expected(name, shape, dtype)}, got one of layout {kind}; "
            "convert it with .to_dense()"
        )
    if not _fits(value.shape, shape):
        raise ShapeError(f"{_expected(name, shape, dtype)}, got {describe(value)}")
    if value.dtype not in DTYPES if dtype is None else value.dtype != dtype:
        remedy = ".float()" if dtype is None else f".to({dtype})"
        raise TypeError(
            f"{_expected(name, shape, dtype)}, got {describe(value)}; convert it with {remedy}"
        )
    return value


def _fits(sizes: Sequence[int], shape: Sequence[str | int]) -> bool:
    if shape and shape[0] == "...":
        shape = shape[1:]
        sizes = sizes[len(sizes) - len(shape) :] if len(sizes) >= len(shape) else ()
    if len(sizes) != len(shape):
        return False
    for size, length in zip(sizes, shape, strict=True):  # a generator would take twice as long
        if not isinstance(length, str) and size != length:
            return False
    return True


def _expected(name: str, shape: Sequence[str | int], dtype: torch.dtype | None) -> str:
    kind = "floating-point" if dtype is None else str(dtype).removeprefix("torch.")
    article = "an" if kind.startswith("int") else "a"
    return f"{name}: expected {article} {kind} tensor [{', '.join(map(str, shape))}]"


def check_device(name: str, value: Tensor, first_name: str, device: torch.device) -> None:
    """Checks that ``value`` is on ``device``, that of the argument ``first_name``."""
    if value.device != device:
        raise ValueError(
            f"{name}: expected a tensor on {device} like {first_name}, "
            f"got {describe(value)}; move it with .to({first_name}.device)"
        )


def check_indices(name: str, value: object) -> Tensor:
    """Checks that ``value`` is a tensor of integers, and returns them as int64."""
    expected = f"{name}: expected a tensor of integers"
    if not isinstance(value, Tensor):
        raise TypeError(f"{expected}, got {describe(value)}; convert it with torch.as_tensor")
    if value.dtype == torch.int64:
        return value
    if value.dtype.is_floating_point or value.dtype.is_complex or value.dtype == torch.bool:
        raise TypeError(f"{expected}, got {describe(value)}; convert it with .long()")
    return value.long()


def check_number(
    name: str, value: object, *, minimum: float = -math.inf, maximum: float = math.inf
) -> None:
    """Checks that ``value`` is a number (no NaN) between two bounds, both included.

    An integer has to be one that a float holds.
    """
    plain = type(value) is float or (type(value) is int and -_EXACT <= value <= _EXACT)
    if plain and minimum <= value <= maximum:  # type: ignore[operator]
        return  # most calls: abstract classes would take as long as a small operator
    expected = f"{name}: expected a number"
    if minimum != -math.inf or maximum != math.inf:
        expected += f" in [{minimum:g}, {maximum:g}]"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{expected}, got {describe(value)}")
    number: Any = value
    if not minimum <= number <= maximum or (isinstance(value, Integral) and not _is_held(value)):
        raise ValueError(f"{expected}, got {reprlib.repr(value)}")


def is_positive(value: Any) -> bool:
    """Whether it is a positive, finite number, which a float holds."""
    return isinstance(value, Real) and _is_held(value) and bool(value > 0)  # type: ignore[operator]


def _is_held(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def check_weights(name: str, value: Tensor, why: str) -> None:
    """Checks that the numbers of a tensor are finite and not negative, as `why` asks of them."""
    if not bool(((value >= 0) & (value < math.inf)).all()):
        raise ValueError(
            f"{name}: expected finite numbers >= 0, for {why}, got a negative, NaN or infinite "
            "one; pass probabilities (torch.sigmoid of a logit)"
        )


def explain_weights(name: str, value: Tensor, why: str) -> None:
    """Says what a kernel has refused, which looks at the numbers: a GPU is not asked twice."""
    if not value.is_meta:
        check_weights(name, value, why)


def check_integer(name: str, value: object, *, minimum: int, below: float = math.inf) -> None:
    """Checks that ``value`` is an integer of at least ``minimum``, and below another number."""
    if type(value) is int and minimum <= value < below:
        return  # most calls: abstract classes would take as long as a small operator
    expected = f"{name}: expected an integer >= {minimum}"
    if below != math.inf:
        expected += f" and below {below}"
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{expected}, got {describe(value)}")
    if not minimum <= int(value) < below:
        raise ValueError(f"{expected}, got {reprlib.repr(value)}")


def check_most(name: str, value: int, *, padded: bool = False) -> int:
    """Checks the number of rows to give at most, and returns it as operators take it.

    Args:
        name: the argument's name.
        value: what was passed; what int64 does not hold is no bound.
        padded: whether so many rows are made, whatever there is to give.
    """
    check_integer(name, value, minimum=1)
    if padded and value > _MOST_PADDED_ROWS:
        raise ValueError(
            f"{name}: expected an integer below 2^31 with padded=True, which makes so many rows, "
            f"got {reprlib.repr(value)}"
        )
    return min(int(value), _INT64_MAX)


def check_variances(value: object) -> None:
    """Checks the two variances of the box code: positive numbers, in float32 too."""
    if type(value) is tuple and len(value) == 2:
        first, second = value
        if type(first) is type(second) is float and _is_variance(first) and _is_variance(second):
            return  # most calls: abstract classes would take as long as a small operator
    expected = "variances: expected two positive numbers of float32 such as (0.1, 0.2)"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{expected}, got {describe(value)}")
    if len(value) == 4:
        raise ValueError(
            f"{expected}, of centres and of sizes, got {reprlib.repr(value)}; of "
            "four, x and y share the first and width and height the second, and weights are "
            "inverse variances: (10, 10, 5, 5) is (0.1, 0.2)"
        )
    if len(value) != 2 or not all(is_positive(n) and _is_variance(float(n)) for n in value):
        raise ValueError(f"{expected}, got {reprlib.repr(value)}")


def _is_variance(number: float) -> bool:
    """Whether float32 holds it with all its digits: what is smaller might be 0 there."""
    return _LEAST <= number <= _MOST


def check_box_weights(value: object, variances: object) -> tuple[float, float]:
    """Checks weights of the box code, as torchvision has them, and returns them as variances.

    Args:
        value: the weights.
        variances: the argument that they stand in for: its default, or else both were given.
    """
    expected = "box_weights: expected four positive numbers of float32 such as (10, 10, 5, 5)"
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{expected}, got {describe(value)}")
    if len(value) != 4 or not all(is_positive(n) and _is_variance(1 / float(n)) for n in value):
        raise ValueError(f"{expected}, got {reprlib.repr(value)}")
    if value[0] != value[1] or value[2] != value[3]:
        raise ValueError(
            f"{expected}, of which x and y share one, and width and height, "
            f"got {reprlib.repr(value)}"
        )
    if not isinstance(variances, Sequence) or tuple(variances) != VARIANCES:
        raise ValueError(
            "box_weights, variances: expected one of them, which mean the same, "
            f"got {reprlib.repr(value)} and {reprlib.repr(variances)}; leave one out"
        )
    return 1 / value[0], 1 / value[2]


def check_size(name: str, value: Any, meaning: str = "(height, width)") -> tuple[int, int]:
    """Checks two integers >= 0 and returns them; symbolic ones under torch.compile are fine."""
    if (
        type(value) is tuple
        and [type(length) for length in value] == [int, int]
        and min(value) >= 0
        and max(value) <= _INT64_MAX
    ):
        return value  # most calls: abstract classes would take as long as a small operator
    expected = f"{name}: expected {meaning}, two integers >= 0"
    if not isinstance(value, Sequence) or not all(
        isinstance(length, Integral | torch.SymInt) and not isinstance(length, bool)
        for length in value
    ):
        if isinstance(value, Sequence) and any(isinstance(length, Tensor) for length in value):
            raise TypeError(f"{expected}, got {_TRACED}")
        raise TypeError(f"{expected}, got {describe(value)}")
    if len(value) != 2 or not all(length >= 0 for length in value):
        raise ValueError(f"{expected}, got {reprlib.repr(value)}")
    if any(isinstance(length, int) and length > _INT64_MAX for length in value):
        raise ValueError(f"{expected} and below 2^63, got {reprlib.repr(value)}")
    return value[0], value[1]


def check_scored_boxes(boxes: Tensor, scores: Tensor, iou_threshold: float) -> None:
    """Checks boxes ``[N, 4]`` with a score each, and the IoU above which they are one too many."""
    check_tensor("boxes", boxes, ("N", 4))
    check_tensor("scores", scores, (boxes.shape[0],))
    check_device("scores", scores, "boxes", boxes.device)
    check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)


def check_boxes_of_batch(name: str, value: object, batch: int | None = None) -> Sequence[Tensor]:
    """Checks a ragged batch of boxes, a list with one ``[G_i, 4]`` tensor for each image."""
    expected = f"{name}: expected a list with one tensor [G_i, 4] for each image"
    if not isinstance(value, Sequence) or isinstance(value, str | Tensor):
        raise TypeError(f"{expected}, got {describe(value)}")
    if batch is not None and len(value) != batch:
        raise ValueError(f"{expected}: {batch} images, got {len(value)} tensors")
    for index, boxes in enumerate(value):
        check_tensor(f"{name}[{index}]", boxes, ("G", 4))
        if isinstance(boxes.shape[0], Tensor):
            raise TypeError(f"{name}[{index}]: expected sizes that are numbers, got {_TRACED}")
    return value
