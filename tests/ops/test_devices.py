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
from elsewhere import DEVICE, elsewhere
from operator_calls import OperatorCalls, assert_same, with_gradients
from torch import Tensor

from s3fd import ops
from s3fd.ops import AnchorGrid, reference

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


def on_meta(argument: Any) -> Any:
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
    arguments[position] = on_meta(arguments[position])
    with pytest.raises(RuntimeError, match="expected all tensors on one device"):
        call_kernel(name, *arguments)


@pytest.mark.parametrize(("name", "position"), MIXED_CALLS)
def test_every_operator_refuses_tensors_beside_those_without_memory(name, position):
    arguments = list(CALLS[name])
    arguments[position] = on_meta(arguments[position])
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


def there(tensor: Tensor) -> Tensor:
    return tensor.to(DEVICE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OperatorCalls(9).calls)
def test_every_operator_answers_on_a_device_without_kernels_and_float64(name, dtype):
    expected = OperatorCalls(60, dtype=dtype).calls[name]()
    with elsewhere():
        answers = OperatorCalls(60, dtype=dtype, place=there).calls[name]()
        assert all(answer.device.type == DEVICE for answer in answers)
        assert_same(answers, expected)


def test_integers_are_suppressed_on_a_device_without_float64():
    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 3], [1, 0, 11, 10]])
    scores, groups = torch.tensor([9, 8, 7]), torch.tensor([0, 0, 0])
    with elsewhere():
        few, *others = there(boxes), there(scores), there(groups)
        assert ops.nms(few, others[0], 0.3).tolist() == [0, 1]  # an IoU of 3/10 does not exceed it
        assert ops.nms(few, others[0].float(), 0.3, padded=True)[0].tolist() == [0, 1, -1]
        assert ops.batched_nms(few, *others, 0.3).tolist() == [0, 1]
        assert ops.batched_nms(few.float(), *others, 0.4).tolist() == [0, 1]
        with pytest.raises(ValueError, match=r"scores: expected a tensor on lazy .* on cpu"):
            ops.nms(few, scores, 0.3)


def test_autocast_of_the_cpu_is_none_of_another_device():
    rows = ROWS.bfloat16()
    with elsewhere(), torch.autocast("cpu", torch.bfloat16):
        coded = torch.ops.s3fd.encode_boxes(there(rows), there(rows), 0.1, 0.2)
    assert coded.dtype == torch.bfloat16


def test_a_wrong_argument_is_named_on_a_device_without_kernels():
    with elsewhere():
        with pytest.raises(ValueError, match="scores: expected finite numbers >= 0"):
            ops.soft_nms(there(BOXES), there(-1 - SCORES))
        with pytest.raises(ValueError, match=r"matched\[0\]: expected -2, -1 or an index .* got 9"):
            ops.multibox_loss(
                there(LOGITS), there(ROWS), there(BOXES), [there(BOXES)], there(MATCHED + 9)
            )
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            torch.ops.s3fd.nms(there(BOXES), SCORES, 0.5)


@pytest.mark.parametrize(
    ("twin", "tensors"),
    [
        (reference.encode_boxes, (BOXES, BOXES + 1)),
        (reference.decode_boxes, (BOXES, BOXES + 1)),
        (reference.max_out_background, (MAPS,)),
        (reference.l2_normalize, (MAPS, torch.ones(3))),
    ],
)
def test_twins_with_a_gradient_need_no_float64(twin, tensors):
    expected = with_gradients(twin, *tensors)
    with elsewhere():
        assert_same(with_gradients(twin, *map(there, tensors)), expected)


def test_the_twin_of_the_loss_needs_no_float64():
    boxes, matched = BOXES + torch.tensor([0.0, 0, 2, 2]), torch.tensor([[3, -1, -1, 0, -1, -2]])

    def losses(place: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        others = place(boxes), [place(boxes)], place(matched)
        return with_gradients(
            lambda *maps: reference.multibox_loss(*maps, *others, negative_ratio=0.5),
            *map(place, (LOGITS, ROWS)),
        )

    expected = losses(lambda tensor: tensor)
    with elsewhere():
        assert_same(losses(there), expected)


def test_tensors_that_no_kernel_takes_are_refused_by_the_raw_operator():
    with pytest.raises(RuntimeError, match=r"s3fd::nms: expected dense tensors .*to_dense"):
        torch.ops.s3fd.nms(BOXES.to_sparse(), SCORES.to_sparse(), 0.5)
