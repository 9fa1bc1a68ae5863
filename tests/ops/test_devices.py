"""A raw operator refuses tensors of several devices, instead of reading one's memory as another's.

The public functions check that before they call an operator, and torch itself picks a kernel by the
devices of all tensors; so the kernels are called here by themselves, with tensors on the meta
device, which have no memory at all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from s3fd.ops import AnchorGrid

GRID = AnchorGrid(strides=(16,), sizes=(16,))
BOXES, SCORES = torch.rand(6, 4), torch.rand(6)
SPLITS = [0, 6]
ROWS = torch.rand(1, 6, 4)
MAPS, LOGITS = torch.rand(2, 3, 4, 5), torch.rand(1, 6, 2)
MATCHED = torch.zeros(1, 6, dtype=torch.int64)
HEAD = ([torch.rand(1, 2, 2, 3)], [torch.rand(1, 4, 2, 3)])
DECODING = (*HEAD, GRID.packed, 0.0, 0.3, 10, 10, None, 0.1, 0.2)
SCALAR = torch.ones(())
LOSS = (LOGITS, ROWS, BOXES, BOXES, SPLITS, MATCHED)
KEPT = (torch.zeros(1, 6, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))

CALLS: dict[str, tuple[Any, ...]] = {
    "batched_nms": (BOXES, SCORES, torch.arange(6), 0.5),
    "decode_boxes": (ROWS, ROWS, 0.1, 0.2, None),
    "decode_boxes_backward": (ROWS, ROWS, ROWS, 0.1, 0.2, None, False),
    "decode_detections": DECODING,
    "decode_detections_labelled": (*DECODING, 1, False),
    "decode_detections_labelled_padded": (*DECODING, 1, False),
    "decode_detections_padded": DECODING,
    "encode_boxes": (ROWS, ROWS, 0.1, 0.2),
    "encode_boxes_backward": (ROWS, ROWS, ROWS, 0.1, 0.2, False),
    "l2_normalize": (MAPS, torch.ones(3)),
    "l2_normalize_backward": (MAPS, MAPS, torch.ones(3)),
    "match_anchors": (BOXES, BOXES, SPLITS, BOXES, SPLITS, 0.35, 0.1, -1, True),
    "match_grid": (BOXES, SPLITS, BOXES, SPLITS, [2, 3], GRID.packed, 0.35, 0.1, -1, True),
    "max_out_background_backward": (torch.rand(2, 2, 4, 5), MAPS),
    "multibox_loss": (*LOSS, 3.0, 0.1, 0.2),
    "multibox_loss_backward": (SCALAR, SCALAR, *LOSS, *KEPT, 0.1, 0.2),
    "nms": (BOXES, SCORES, 0.5),
    "nms_padded": (BOXES, SCORES, 0.5, 3),
    "soft_nms": (BOXES, SCORES, True, 0.5, 0.3, 0.001),
    "vote_boxes": (BOXES, SCORES, 0.5, True),
}
OF_ONE_TENSOR = {"anchors", "max_out_background"}


def elsewhere(argument: Any) -> Any:
    return [t.to("meta") for t in argument] if isinstance(argument, list) else argument.to("meta")


def holds_tensors(argument: Any) -> bool:
    return isinstance(argument[0] if isinstance(argument, list) else argument, Tensor)


MIXED_CALLS = [
    pytest.param(name, position, id=f"{name}-{position}")
    for name, arguments in CALLS.items()
    for position, argument in enumerate(arguments)
    if holds_tensors(argument)
]


@pytest.fixture(scope="module")
def call_kernel() -> Callable[..., Any]:
    """Calls the kernel for the CPU, wherever the tensors are."""
    library = torch.library.Library("s3fd_test_devices", "FRAGMENT")
    library.define("keys(Tensor x) -> Tensor")
    found: list[Any] = []

    def note(keys: Any, x: Tensor) -> Tensor:
        found.append(keys)
        return x.clone()

    library.impl("keys", note, "CPU", with_keyset=True)
    torch.ops.s3fd_test_devices.keys(SCALAR)

    def call(name: str, *arguments: Any) -> Any:
        kernel = torch.library.get_kernel(f"s3fd::{name}", "CPU")
        return kernel.call_boxed(found[0], *arguments)

    return call


def test_no_operator_of_several_tensors_is_left_out():
    schema = Path(__file__).parents[2] / "csrc" / "schema.cpp"
    names = set(re.findall(r'"(\w+)\(', schema.read_text()))
    assert names == CALLS.keys() | OF_ONE_TENSOR


@pytest.mark.parametrize(("name", "position"), MIXED_CALLS)
def test_every_operator_refuses_tensors_of_several_devices(call_kernel, name, position):
    arguments = list(CALLS[name])
    arguments[position] = elsewhere(arguments[position])
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        call_kernel(name, *arguments)


@pytest.mark.parametrize(("name", "position"), MIXED_CALLS)
def test_every_operator_refuses_tensors_beside_those_without_memory(name, position):
    arguments = list(CALLS[name])
    arguments[position] = elsewhere(arguments[position])
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        getattr(torch.ops.s3fd, name)(*arguments)


@pytest.mark.parametrize("name", CALLS)
def test_every_operator_takes_tensors_of_one_device(call_kernel, name):
    call_kernel(name, *CALLS[name])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("name", "position"), MIXED_CALLS)
def test_every_operator_refuses_tensors_beside_those_of_a_cuda_device(name, position):
    def on_cuda(argument: Any) -> Any:
        if not holds_tensors(argument):
            return argument
        return [t.cuda() for t in argument] if isinstance(argument, list) else argument.cuda()

    arguments = [on_cuda(argument) for argument in CALLS[name]]
    arguments[position] = CALLS[name][position]
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        getattr(torch.ops.s3fd, name)(*arguments)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize(
    "call",
    [
        torch.ops.s3fd.max_out_background_forward,
        lambda maps: torch.ops.s3fd.max_out_background_backward(maps, maps),
        lambda maps: torch.ops.s3fd.l2_normalize_forward(maps, maps),
        lambda maps: torch.ops.s3fd.l2_normalize_backward(maps, maps, maps),
    ],
)
def test_maps_without_four_dimensions_are_refused_on_the_meta_device_too(call, shape):
    with pytest.raises(ValueError, match=r"expected maps \[B, C, H, W\], got \["):
        call(torch.empty(shape, device="meta"))
