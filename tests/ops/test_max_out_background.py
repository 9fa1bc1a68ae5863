"""Max-out background: the strongest background logit stands for all."""

import math

import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st
from layouts import layouts
from torch import Tensor

from s3fd.ops import max_out_background, reference
from s3fd.ops.reference.max_out_background import max_out_background_backward

OPERATOR = torch.ops.s3fd.max_out_background.default
BACKWARD = torch.ops.s3fd.max_out_background_backward.default
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]

logits_with_ties = st.builds(
    lambda sizes, seed: torch.randint(
        -2, 3, sizes, generator=torch.Generator().manual_seed(seed)
    ).float(),
    st.tuples(st.integers(0, 3), st.integers(2, 6), st.integers(0, 4), st.integers(0, 4)),
    st.integers(0, 2**32 - 1),
)


@given(logits_with_ties)
def test_each_pixel_keeps_its_largest_background_and_its_face(logits: Tensor) -> None:
    output = max_out_background(logits)
    for image, row, column in torch.cartesian_prod(
        *(torch.arange(logits.shape[i]) for i in (0, 2, 3))
    ).tolist():
        pixel = logits[image, :, row, column].tolist()
        assert output[image, :, row, column].tolist() == [max(pixel[:-1]), pixel[-1]]


@given(logits_with_ties)
def test_output_and_gradient_are_the_twins(logits: Tensor) -> None:
    results = []
    for function in (max_out_background, reference.max_out_background):
        leaf = logits.clone().requires_grad_()
        output = function(leaf)
        weight = torch.arange(1.0, output.numel() + 1).reshape(output.shape)
        (output * weight).sum().backward()
        results.append((output.detach(), leaf.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])
def test_every_layout_and_dtype_gives_the_same_numbers(layout: str, dtype: torch.dtype) -> None:
    logits = torch.randn(2, 4, 5, 7, dtype=torch.float64).to(dtype)
    leaf = layouts(logits)[layout].detach().requires_grad_()
    output = max_out_background(leaf)
    gradient = torch.randn(2, 2, 5, 7).to(dtype)
    output.backward(gradient)
    assert output.dtype == dtype
    assert output.is_contiguous(
        memory_format=torch.channels_last if layout == "channels_last" else torch.contiguous_format
    )
    assert torch.equal(output, reference.max_out_background(logits))
    assert torch.equal(leaf.grad, max_out_background_backward(gradient, logits))


def test_expanded_gradients_are_read_through_their_strides() -> None:
    logits = torch.randn(2, 4, 3, 3, requires_grad=True)
    max_out_background(logits).sum().backward()
    assert logits.grad is not None
    assert logits.grad.sum() == 2 * 2 * 9


def test_large_maps_are_shared_out_among_threads() -> None:
    logits = torch.randn(3, 4, 200, 300)
    assert torch.equal(max_out_background(logits), reference.max_out_background(logits))


def test_gradient_of_equal_logits_goes_to_the_lowest_channel() -> None:
    logits = torch.ones(1, 4, 1, 1, requires_grad=True)
    max_out_background(logits).sum().backward()
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("values", [(1, math.nan, 3, 0), (math.nan, 2, math.nan, 0)])
def test_a_nan_background_is_the_maximum(values: tuple[float, ...]) -> None:
    logits = torch.tensor(values).view(1, 4, 1, 1).requires_grad_()
    output = max_out_background(logits)
    output.sum().backward()
    assert output[0, 0].isnan()
    assert output[0, 1] == 0
    assert logits.grad is not None
    assert logits.grad.flatten().argmax() == [math.isnan(v) for v in values].index(True)


def test_infinities_and_a_nan_face_pass_through() -> None:
    logits = torch.tensor([-math.inf, -math.inf, math.nan]).view(1, 3, 1, 1)
    output = max_out_background(logits).flatten()
    assert output[0] == -math.inf
    assert output[1].isnan()


def test_one_background_is_copied_not_aliased() -> None:
    logits = torch.randn(2, 2, 3, 3)
    output = max_out_background(logits)
    assert torch.equal(output, logits)
    assert output.data_ptr() != logits.data_ptr()


@pytest.mark.parametrize("sizes", [(0, 4, 3, 3), (2, 4, 0, 3), (2, 4, 3, 0)])
def test_an_empty_map_gives_an_empty_map(sizes: tuple[int, ...]) -> None:
    logits = torch.zeros(sizes, requires_grad=True)
    output = max_out_background(logits)
    output.sum().backward()
    assert output.shape == (sizes[0], 2, *sizes[2:])
    assert logits.grad is not None
    assert logits.grad.shape == sizes


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
def test_opcheck(layout: str) -> None:
    logits = layouts(torch.randn(2, 4, 3, 5))[layout]
    torch.library.opcheck(OPERATOR, (logits.clone().requires_grad_(),))
    torch.library.opcheck(OPERATOR, (logits,))
    torch.library.opcheck(BACKWARD, (torch.randn(2, 2, 3, 5), logits))


def test_gradcheck() -> None:
    logits = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(max_out_background, (logits,))


def test_double_backward_is_refused_by_name() -> None:
    logits = torch.randn(1, 4, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        max_out_background(logits).square().sum(), logits, create_graph=True
    )
    with pytest.raises(RuntimeError, match="s3fd::max_out_background_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    logits = torch.randn(1, 4, 2, 2, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = max_out_background(logits)
    assert output.dtype == dtype
    assert torch.equal(output, max_out_background(logits))


def test_compiles_into_one_graph_for_any_size() -> None:
    compiled = torch.compile(
        lambda x: max_out_background(x) * 2, fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for size in (4, 7):
        logits = torch.randn(1, 4, size, size + 1)
        assert torch.equal(compiled(logits), max_out_background(logits) * 2)


def test_devices_without_a_kernel_run_that_of_the_cpu() -> None:
    logits = torch.randn(2, 4, 3, 5)
    assert torch.equal(run_elsewhere(OPERATOR, logits), max_out_background(logits))
    gradient = torch.randn(2, 2, 3, 5)
    assert torch.equal(run_elsewhere(BACKWARD, gradient, logits), BACKWARD(gradient, logits))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_numbers_of_the_cpu() -> None:
    logits = torch.randn(2, 4, 33, 17)
    assert torch.equal(max_out_background(logits.cuda()).cpu(), max_out_background(logits))


@pytest.mark.parametrize(
    ("logits", "error", "text"),
    [
        ([[1.0]], TypeError, "logits: expected a floating-point tensor"),
        (torch.zeros(1, 4, 2, 2, dtype=torch.int64), TypeError, r"int64 \[1, 4, 2, 2\]"),
        (torch.zeros(4, 2, 2), ValueError, r"\[B, k \+ 1, H, W\]"),
        (torch.zeros(1, 1, 2, 2), ValueError, "at least two channels"),
    ],
)
def test_bad_logits_are_named(logits: object, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        max_out_background(logits)  # type: ignore[arg-type]


def test_the_kernel_itself_refuses_what_it_could_not_read() -> None:
    with pytest.raises(RuntimeError, match="max_out_background"):
        OPERATOR(torch.zeros(1, 1, 2, 2))
    with pytest.raises(RuntimeError, match="does not fit"):
        BACKWARD(torch.zeros(1, 2, 2, 2), torch.zeros(1, 4, 2, 3))
