"""Operators with a gradient have others beside them: the same kernels, without a gradient."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_bridge import operators
from torch import Tensor

from s3fd import ops

ROWS = torch.tensor([[[0.0, 0, 16, 16], [8, 4, 24, 40]]])
MAPS = torch.linspace(-2, 2, 2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
MATCHED = torch.tensor([[0, -1]])
LOSS = (torch.tensor([[[0.5, -1.0], [2, 1]]]), 0.1 * ROWS, ROWS[0], ROWS[0], [0, 2], MATCHED)

CALLS: dict[str, tuple[Any, ...]] = {
    "decode_boxes": (0.1 * ROWS, ROWS, 0.1, 0.2, [20, 30]),
    "encode_boxes": (ROWS + 1, ROWS, 0.1, 0.2),
    "l2_normalize": (MAPS, torch.tensor([1.0, 2, 3])),
    "max_out_background": (MAPS,),
    "multibox_loss": (*LOSS, 3.0, 0.1, 0.2),
}


def test_no_operator_with_a_gradient_is_left_out() -> None:
    backwards = {name for name in operators() if name.endswith("_backward")}
    assert {name.removesuffix("_backward") for name in backwards} == CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_kernels_alone_answer_as_the_operator(name: str) -> None:
    expected = getattr(torch.ops.s3fd, name)(*CALLS[name])
    found = getattr(torch.ops.s3fd, f"{name}_forward")(*CALLS[name])
    pairs = [(expected, found)] if isinstance(found, Tensor) else zip(expected, found, strict=True)
    for one, other in pairs:
        torch.testing.assert_close(other, one, rtol=0, atol=0)


@pytest.mark.parametrize("name", CALLS)
def test_kernels_alone_pass_opcheck(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.s3fd, f"{name}_forward"), CALLS[name])


def asks_python_for_a_gradient(call: Callable[..., Any], *arguments: Any) -> bool:
    files = set()
    sys.setprofile(lambda frame, event, argument: files.add(frame.f_code.co_filename))
    try:
        call(*arguments)
    finally:
        sys.setprofile(None)
    return any(Path(file).match("torch/_library/autograd.py") for file in files)


PUBLIC_CALLS: dict[str, Callable[[], object]] = {
    "decode_boxes": lambda: ops.decode_boxes(0.1 * ROWS, ROWS),
    "encode_boxes": lambda: ops.encode_boxes(ROWS + 1, ROWS),
    "l2_normalize": lambda: ops.l2_normalize(*CALLS["l2_normalize"]),
    "max_out_background": lambda: ops.max_out_background(MAPS),
    "multibox_loss": lambda: ops.multibox_loss(*LOSS[:3], [ROWS[0]], MATCHED),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_without_a_gradient_do_not_ask_python_for_one(name: str) -> None:
    assert asks_python_for_a_gradient(getattr(torch.ops.s3fd, name).default, *CALLS[name])
    assert not asks_python_for_a_gradient(PUBLIC_CALLS[name])
