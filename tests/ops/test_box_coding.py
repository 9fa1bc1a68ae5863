"""Encoding of boxes as deltas, and decoding."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import decode_boxes, encode_boxes, reference

ENCODE = torch.ops.s3fd.encode_boxes.default
ENCODE_BACKWARD = torch.ops.s3fd.encode_boxes_backward.default
DECODE = torch.ops.s3fd.decode_boxes.default
DECODE_BACKWARD = torch.ops.s3fd.decode_boxes_backward.default
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
VARIANCES = (0.1, 0.2)

seeds = st.integers(0, 2**32 - 1)


def random_boxes(*leading: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(*leading, 2, generator=generator, dtype=torch.float64) * 100 - 20
    size = torch.rand(*leading, 2, generator=generator, dtype=torch.float64) * 60 + 2
    return torch.cat([corner, corner + size], dim=-1).to(dtype)


def random_deltas(*leading: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*leading, 4, generator=generator, dtype=torch.float64) * 2).to(dtype)


@given(seeds, st.integers(1, 6))
def test_deltas_are_what_their_definition_says(seed: int, count: int) -> None:
    boxes, anchors = random_boxes(count, seed=seed), random_boxes(count, seed=seed + 1)
    deltas = encode_boxes(boxes, anchors, (0.3, 0.7))
    for (x1, y1, x2, y2), (ax1, ay1, ax2, ay2), delta in zip(
        boxes.tolist(), anchors.tolist(), deltas.tolist(), strict=True
    ):
        assert delta == pytest.approx(
            [
                ((x1 + x2) / 2 - (ax1 + ax2) / 2) / (0.3 * (ax2 - ax1)),
                ((y1 + y2) / 2 - (ay1 + ay2) / 2) / (0.3 * (ay2 - ay1)),
                math.log((x2 - x1) / (ax2 - ax1)) / 0.7,
                math.log((y2 - y1) / (ay2 - ay1)) / 0.7,
            ]
        )


@given(seeds, st.integers(0, 3), st.integers(0, 5))
def test_decoding_inverts_encoding(seed: int, batch: int, count: int) -> None:
    boxes, anchors = random_boxes(batch, count, seed=seed), random_boxes(count, seed=seed + 1)
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, anchors), anchors), boxes)


def outputs_and_gradients(
    function: Callable[..., Tensor], values: Tensor, anchors: Tensor, gradient: Tensor, *others: Any
) -> list[Tensor]:
    leaves = [tensor.clone().requires_grad_() for tensor in (values, anchors)]
    output = function(*leaves, *others)
    output.backward(gradient)
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@given(seeds, st.sampled_from(DTYPES), st.sampled_from([None, (50, 70), (0, 10)]))
def test_values_and_gradients_are_as_exact_as_the_twins(
    seed: int, dtype: torch.dtype, image_size: tuple[int, int] | None
) -> None:
    anchors, boxes = random_boxes(5, seed=seed, dtype=dtype), random_boxes(5, seed=seed + 1)
    deltas, gradient = (random_deltas(5, seed=seed + i, dtype=dtype) for i in (2, 3))
    for ours, twin, values, others in (
        (encode_boxes, reference.encode_boxes, boxes.to(dtype), ()),
        (decode_boxes, reference.decode_boxes, deltas, (VARIANCES, image_size)),
    ):
        inputs = (values, anchors, gradient)
        for result, by_twin, exact in zip(
            outputs_and_gradients(ours, *inputs, *others),
            outputs_and_gradients(twin, *inputs, *others),
            outputs_and_gradients(twin, *(tensor.double() for tensor in inputs), *others),
            strict=True,
        ):
            assert result.dtype == dtype
            error, error_of_twin = ((r.double() - exact).abs().max() for r in (result, by_twin))
            assert error <= 2 * error_of_twin + 8 * torch.finfo(dtype).eps * exact.abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype: torch.dtype) -> None:
    anchors, deltas = random_boxes(50, dtype=dtype), random_deltas(50, dtype=dtype)
    exact = decode_boxes(deltas.float(), anchors.float())
    assert torch.equal(decode_boxes(deltas, anchors), exact.to(dtype))
    boxes = random_boxes(50, seed=3, dtype=dtype)
    exact = encode_boxes(boxes.float(), anchors.float())
    assert torch.equal(encode_boxes(boxes, anchors), exact.to(dtype))


def test_anchors_broadcast_over_the_batch_and_dtypes_promote() -> None:
    anchors = random_boxes(7, dtype=torch.float32)
    deltas = random_deltas(3, 2, 7, dtype=torch.float16)
    boxes = decode_boxes(deltas, anchors)
    assert boxes.dtype == torch.float32
    assert boxes.shape == (3, 2, 7, 4)
    assert torch.equal(boxes[2, 1], decode_boxes(deltas[2, 1], anchors))
    one_delta = deltas[0, 0]
    assert decode_boxes(one_delta, anchors.expand(5, 7, 4)).shape == (5, 7, 4)


def test_any_strides_are_read_as_they_are() -> None:
    anchors, deltas = random_boxes(6), random_deltas(2, 6)
    expected = decode_boxes(deltas, anchors)
    head_map = deltas.permute(0, 2, 1).contiguous().permute(0, 2, 1)
    padded = torch.full((4, 12, 8), math.nan, dtype=torch.float64)
    padded[::2, ::2, ::2] = deltas
    for same in (head_map, padded[::2, ::2, ::2]):
        assert not same.is_contiguous()
        assert torch.equal(decode_boxes(same, anchors), expected)


@pytest.mark.parametrize(("batch", "count"), [(1, 1), (255, 1), (1, 257), (3, 85), (33, 31)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_of_all_sizes_are_coded(batch: int, count: int, dtype: torch.dtype) -> None:
    anchors, deltas = random_boxes(count, dtype=dtype), random_deltas(batch, count, dtype=dtype)
    boxes = decode_boxes(deltas, anchors)
    assert boxes.shape == (batch, count, 4)
    exact = reference.decode_boxes(deltas.double(), anchors.double())
    torch.testing.assert_close(
        boxes.double(), exact, rtol=4 * torch.finfo(dtype).eps, atol=200 * torch.finfo(dtype).eps
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("moved_by", [1, 2, 4])
def test_rows_may_lie_anywhere_in_memory(dtype: torch.dtype, moved_by: int) -> None:
    def move(tensor: Tensor) -> Tensor:
        memory = torch.empty(tensor.numel() + moved_by, dtype=dtype)
        return memory[moved_by:].view(tensor.shape).copy_(tensor)

    anchors, deltas = random_boxes(2, 6, dtype=dtype), random_deltas(2, 6, dtype=dtype)
    wide = torch.full((2, 6, 4 + moved_by), math.nan, dtype=dtype)
    wide[..., :4] = deltas
    for same in (move(deltas), wide[..., :4]):
        assert torch.equal(decode_boxes(same, move(anchors)), decode_boxes(deltas, anchors))


def test_gradients_of_any_strides_are_read_as_they_are() -> None:
    anchors, values = random_boxes(5).requires_grad_(), random_boxes(3, 5).requires_grad_()
    for function in (encode_boxes, decode_boxes):
        output = function(values, anchors)
        ones, spread = torch.ones_like(output), output.new_ones(1, 1, 1).expand_as(output)
        by_ones = torch.autograd.grad(output, (values, anchors), ones, retain_graph=True)
        by_spread = torch.autograd.grad(output, (values, anchors), spread)
        assert all(map(torch.equal, by_ones, by_spread))


def test_many_boxes_are_shared_out_among_threads() -> None:
    anchors = random_boxes(20_000, dtype=torch.float32)
    deltas = random_deltas(3, 20_000, dtype=torch.float32)
    torch.testing.assert_close(
        decode_boxes(deltas, anchors), reference.decode_boxes(deltas, anchors), rtol=1e-5, atol=1e-4
    )


@pytest.mark.parametrize("leading", [(0,), (0, 3), (3, 0), (2, 0, 3)])
def test_nothing_gives_nothing(leading: tuple[int, ...]) -> None:
    anchors = torch.zeros(leading[-1], 4)
    values = torch.zeros(*leading, 4, requires_grad=True)
    for function in (encode_boxes, decode_boxes):
        output = function(values, anchors)
        output.sum().backward()
        assert output.shape == (*leading, 4)


def test_clipping_cuts_to_the_image() -> None:
    anchors = torch.tensor([[-10.0, -10.0, 100.0, 100.0], [20.0, 20.0, 30.0, 30.0]])
    boxes = decode_boxes(torch.zeros(2, 4), anchors, image_size=(25, 60))
    assert boxes.tolist() == [[0, 0, 60, 25], [20, 20, 30, 25]]


def test_degenerate_boxes_and_anchors_follow_the_formula() -> None:
    anchors = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).expand(3, 4)
    nan, inf = math.nan, math.inf
    boxes = torch.tensor([[5.0, 0, 5, 10], [7, 0, 3, 10], [nan, 0, 10, 10]])
    deltas = encode_boxes(boxes, anchors)
    assert deltas[0].tolist() == [0, 0, -inf, 0]
    assert deltas[1, 2].isnan()
    assert deltas[2, 0].isnan()
    assert deltas[2, 2].isnan()
    torch.testing.assert_close(deltas, reference.encode_boxes(boxes, anchors), equal_nan=True)
    deltas = torch.tensor([[0.0, 0, 1e6, 0], [0, 0, -1e6, 0], [nan, 0, 0, 0]])
    decoded = decode_boxes(deltas, anchors, image_size=(10, 20))
    assert decoded[0].tolist() == [0, 0, 20, 10]
    assert decoded[1].tolist() == [5, 0, 5, 10]
    assert decoded[2, [0, 2]].isnan().all()
    assert torch.equal(
        decoded[:2], reference.decode_boxes(deltas, anchors, image_size=(10, 20))[:2]
    )


def test_boxes_of_a_million_pixels_come_back() -> None:
    anchors = torch.tensor([[0.0, 0.0, 16.0, 16.0], [-1e6, -1e6, 1e6, 1e6]])
    boxes = torch.tensor([[-5e5, 0.0, 5e5, 1e6], [999_000.0, 3.0, 999_016.0, 19.0]])
    torch.testing.assert_close(
        decode_boxes(encode_boxes(boxes, anchors), anchors), boxes, rtol=1e-5, atol=0.5
    )


@pytest.mark.parametrize("image_size", [None, (50, 70)])
def test_gradcheck(image_size: tuple[int, int] | None) -> None:
    anchors = random_boxes(4).requires_grad_()
    boxes, deltas = random_boxes(2, 4, seed=5), random_deltas(2, 4)
    assert torch.autograd.gradcheck(encode_boxes, (boxes.requires_grad_(), anchors))
    assert torch.autograd.gradcheck(
        lambda d, a: decode_boxes(d, a, VARIANCES, image_size), (deltas.requires_grad_(), anchors)
    )


def test_no_gradient_passes_where_a_coordinate_was_cut_off() -> None:
    anchors = torch.tensor([[-10.0, 5.0, 100.0, 15.0]])
    deltas = torch.zeros(1, 4, requires_grad=True)
    decode_boxes(deltas, anchors, image_size=(20, 60))[:, ::2].sum().backward()
    assert deltas.grad is not None
    assert deltas.grad.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_opcheck(dtype: torch.dtype) -> None:
    anchors = random_boxes(5, dtype=dtype).expand(2, 5, 4)
    boxes = random_boxes(2, 5, seed=2, dtype=dtype)
    deltas = random_deltas(2, 5, dtype=dtype)
    gradient = random_deltas(2, 5, seed=9, dtype=dtype)
    leaves = [t.clone().requires_grad_() for t in (boxes, deltas, anchors)]
    torch.library.opcheck(ENCODE, (leaves[0], leaves[2], *VARIANCES))
    torch.library.opcheck(DECODE, (leaves[1], leaves[2], *VARIANCES, [40, 50]))
    torch.library.opcheck(DECODE, (deltas, anchors, *VARIANCES, None))
    for of_anchors in (False, True):
        torch.library.opcheck(ENCODE_BACKWARD, (gradient, boxes, anchors, *VARIANCES, of_anchors))
        torch.library.opcheck(
            DECODE_BACKWARD, (gradient, deltas, anchors, *VARIANCES, [40, 50], of_anchors)
        )


@pytest.mark.parametrize("function", [encode_boxes, decode_boxes])
def test_double_backward_is_refused_by_name(function: Callable[..., Tensor]) -> None:
    values = random_boxes(3).requires_grad_()
    (gradient,) = torch.autograd.grad(
        function(values, random_boxes(3, seed=1)).square().sum(), values, create_graph=True
    )
    with pytest.raises(RuntimeError, match=f"s3fd::{function.__name__}_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize("function", [encode_boxes, decode_boxes])
def test_autocast_computes_in_float32(function: Callable[..., Tensor]) -> None:
    values, anchors = random_boxes(3, dtype=torch.bfloat16), random_boxes(3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = function(values, anchors)
    assert output.dtype == torch.float32
    assert torch.equal(output, function(values.float(), anchors.float()))


def test_compiles_into_one_graph_for_any_size() -> None:
    compiled = torch.compile(
        lambda d, a: decode_boxes(d, a, VARIANCES, (64, 64)),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for count in (5, 8):
        anchors, deltas = random_boxes(count), random_deltas(3, count)
        assert torch.equal(
            compiled(deltas, anchors), decode_boxes(deltas, anchors, VARIANCES, (64, 64))
        )


PROPER, POINT = [0.0, 0, 16, 16], [4.0, 4, 4, 4]
NOWHERE, ENDLESS = [math.nan] * 4, [0.0, 0, math.inf, math.inf]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("of_anchors", [False, True])
def test_a_row_without_a_gradient_passes_none_on_whatever_it_holds(
    of_anchors: bool, dtype: torch.dtype
) -> None:
    rows = [(a, b) for a in (PROPER, POINT, NOWHERE, ENDLESS) for b in (PROPER, POINT, NOWHERE)]
    values, anchors = (torch.tensor([column], dtype=dtype) for column in zip(*rows, strict=True))
    none, twins = torch.zeros_like(values), reference.box_coding
    of_boxes = ENCODE_BACKWARD(none, values, anchors, *VARIANCES, of_anchors)
    assert torch.equal(of_boxes, none)
    assert torch.equal(
        twins.encode_boxes_backward(none, values, anchors, VARIANCES, of_anchors), none
    )
    for size in (None, (8, 9)):
        of_deltas = DECODE_BACKWARD(none, 1e3 * values, anchors, *VARIANCES, size, of_anchors)
        assert torch.equal(of_deltas, none)
        assert torch.equal(
            twins.decode_boxes_backward(none, 1e3 * values, anchors, VARIANCES, size, of_anchors),
            none,
        )


def test_no_gradient_passes_where_both_ends_of_an_infinite_box_are_cut_off() -> None:
    deltas = torch.tensor([[0.0, 0, 1000, 1000], [0, 0, 0, 0]])
    anchors = torch.tensor([PROPER, PROPER])
    boxes, of_deltas, of_anchors = outputs_and_gradients(
        decode_boxes, deltas, anchors, torch.ones(2, 4), VARIANCES, (32, 32)
    )
    assert boxes[0].tolist() == [0, 0, 32, 32]
    assert not of_deltas[0].any()
    assert not of_anchors[0].any()
    assert of_deltas[1].any()


def test_padding_among_boxes_leaves_the_gradients_of_the_others_alone() -> None:
    boxes, anchors = torch.tensor([[0.0] * 4, [1, 1, 5, 5]]), torch.tensor([PROPER, PROPER])
    gradient = torch.tensor([[0.0] * 4, [1] * 4])
    _, *gradients = outputs_and_gradients(encode_boxes, boxes, anchors, gradient)
    _, *alone = outputs_and_gradients(encode_boxes, boxes[1:], anchors[1:], gradient[1:])
    for found, expected in zip(gradients, alone, strict=True):
        assert not found[0].any()
        assert torch.equal(found[1:], expected)


def test_devices_without_a_kernel_run_that_of_the_cpu() -> None:
    anchors, boxes = random_boxes(2, 5), random_boxes(2, 5, seed=2)
    deltas, gradient = random_deltas(2, 5), random_deltas(2, 5, seed=9)
    calls: list[tuple[Any, tuple[Any, ...]]] = [
        (ENCODE, (boxes, anchors, *VARIANCES)),
        (DECODE, (deltas, anchors, *VARIANCES, None)),
        (DECODE, (deltas, anchors, *VARIANCES, [40, 50])),
    ]
    for of_anchors in (False, True):
        calls += [
            (ENCODE_BACKWARD, (gradient, boxes, anchors, *VARIANCES, of_anchors)),
            (DECODE_BACKWARD, (gradient, deltas, anchors, *VARIANCES, None, of_anchors)),
            (DECODE_BACKWARD, (gradient, deltas, anchors, *VARIANCES, [40, 50], of_anchors)),
        ]
    for operator, arguments in calls:
        torch.testing.assert_close(run_elsewhere(operator, *arguments), operator(*arguments))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_numbers_of_the_cpu() -> None:
    anchors, deltas = random_boxes(50), random_deltas(3, 50)
    boxes = decode_boxes(deltas.cuda(), anchors.cuda())
    torch.testing.assert_close(boxes.cpu(), decode_boxes(deltas, anchors))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
@pytest.mark.parametrize("function", [encode_boxes, decode_boxes])
def test_tensors_without_values_give_their_shape(
    function: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    values = torch.zeros(2, 3, 4, dtype=dtype, device="meta")
    result = function(values, values[0])
    assert (result.shape, result.dtype, result.device.type) == ((2, 3, 4), dtype, "meta")


BOXES = torch.zeros(2, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([1, 2, 3, 4], BOXES), TypeError, "(boxes|deltas): expected a floating-point tensor"),
        ((BOXES, BOXES.long()), TypeError, "anchors: .*int64"),
        ((torch.zeros(4), BOXES), ValueError, r"\[..., A, 4\]"),
        ((torch.zeros(3, 5), BOXES), ValueError, r"\[..., A, 4\]"),
        ((BOXES, torch.zeros(2, 4)), ValueError, "anchors: expected one for each row"),
        ((BOXES, torch.zeros(1, 4)), ValueError, "anchors: expected one for each row"),
        ((BOXES, torch.zeros(3, 3, 4)), ValueError, "anchors: expected one for each row"),
        ((BOXES, BOXES.to("meta")), ValueError, "anchors: expected a tensor on cpu"),
        ((BOXES, BOXES, (0.1, 0)), ValueError, "variances"),
        ((BOXES, BOXES, (0.1,)), ValueError, "variances"),
        ((BOXES, BOXES, 0.1), TypeError, "variances"),
    ],
)
@pytest.mark.parametrize("function", [encode_boxes, decode_boxes])
def test_bad_arguments_are_named(
    function: Callable[..., Tensor], arguments: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        function(*arguments)


@pytest.mark.parametrize(
    ("image_size", "error"), [((1, -1), ValueError), ((1.5, 2), TypeError), (3, TypeError)]
)
def test_bad_image_sizes_are_named(image_size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="image_size"):
        decode_boxes(BOXES, BOXES, image_size=image_size)


def test_the_kernels_themselves_refuse_what_they_could_not_read() -> None:
    with pytest.raises(RuntimeError, match="one shape and dtype"):
        ENCODE(BOXES, torch.zeros(2, 4, 4), *VARIANCES)
    with pytest.raises(RuntimeError, match="one shape and dtype"):
        DECODE_BACKWARD(BOXES[0], BOXES, BOXES, *VARIANCES, None, False)
    with pytest.raises(RuntimeError, match="image size"):
        DECODE(BOXES, BOXES, *VARIANCES, [1])
