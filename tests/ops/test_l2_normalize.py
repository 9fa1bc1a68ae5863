"""The scaled L2 norm over channels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import l2_normalize, reference
from s3fd.ops.reference.l2_normalize import l2_normalize_backward


def replay(features: Tensor, weight: Tensor) -> np.ndarray:
    """Pixel by pixel in double."""
    x, scale = features.double().numpy(), weight.double().numpy()
    result = np.empty_like(x)
    for image, row, column in np.ndindex(x.shape[0], *x.shape[2:]):
        pixel = x[image, :, row, column]
        norm = math.sqrt(sum(value * value for value in pixel.tolist())) + 1e-10
        result[image, :, row, column] = pixel / norm * scale
    return result


@given(
    sizes=st.tuples(*[st.integers(0, 4)] * 4),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
    channels_last=st.booleans(),
)
def test_every_pixel_has_the_norm_1_before_it_is_scaled(
    sizes: tuple[int, ...], seed: int, dtype: torch.dtype, channels_last: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(sizes, generator=generator).to(dtype)
    weight = torch.randn(sizes[1], generator=generator).to(dtype)
    if channels_last:
        features = features.contiguous(memory_format=torch.channels_last)
    output = l2_normalize(features, weight)
    assert output.dtype == dtype
    assert output.shape == features.shape
    tolerance = 4 * torch.finfo(dtype).eps
    np.testing.assert_allclose(
        output.double().numpy(), replay(features, weight), rtol=tolerance, atol=tolerance
    )


def test_the_small_number_is_added_to_the_norm_and_not_under_the_root() -> None:
    features = torch.full((1, 1, 1, 1), 1e-10, dtype=torch.float64)
    assert l2_normalize(features, torch.ones(1)).item() == pytest.approx(0.5)


def test_a_pixel_of_zeros_stays_zero_with_a_finite_gradient() -> None:
    features = torch.zeros(1, 3, 1, 2)
    features[0, :, 0, 1] = torch.tensor([1.0, 2, 2])
    leaf = features.clone().requires_grad_()
    weight = torch.ones(3, requires_grad=True)
    output = l2_normalize(leaf.relu(), weight)
    assert output[0, :, 0, 0].tolist() == [0, 0, 0]
    output.sum().backward()
    assert leaf.grad.isfinite().all()
    assert weight.grad.isfinite().all()
    assert leaf.grad[0, :, 0, 0].tolist() == [0, 0, 0]  # a ReLU passes nothing at 0
    leaf = features.clone().requires_grad_()
    l2_normalize(leaf, torch.tensor([1.0, 2, 3])).sum().backward()
    assert leaf.grad[0, :, 0, 0].tolist() == pytest.approx([1e10, 2e10, 3e10])


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_pixel_with_nan_or_infinity_spoils_only_itself(bad: float) -> None:
    features = torch.ones(1, 2, 1, 2)
    features[0, 0, 0, 0] = bad
    output = l2_normalize(features, torch.ones(2))
    assert output[0, 0, 0, 0].isnan()
    assert output[0, :, 0, 1].isfinite().all()


def in_layout(layout: str, tensor: Tensor) -> Tensor:
    """The same numbers, elsewhere in memory."""
    if layout == "channels_last":
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "transposed":
        return tensor.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "part":  # rows with gaps
        wider = tensor.new_zeros(*tensor.shape[:3], tensor.shape[3] + 3)
        wider[..., 1:-2] = tensor
        return wider[..., 1:-2]
    return tensor


LAYOUTS = ["contiguous", "channels_last", "transposed", "part"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", LAYOUTS)
@pytest.mark.parametrize("sizes", [(2, 3, 5, 7), (1, 37, 20, 31), (3, 16, 1, 300), (2, 64, 33, 33)])
def test_output_and_gradients_are_those_of_the_twin(
    sizes: tuple[int, ...], layout: str, gradient_layout: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(sizes, generator=generator).relu()
    gradient = in_layout(gradient_layout, torch.randn(sizes, generator=generator))
    weight = torch.randn(sizes[1], generator=generator).requires_grad_()
    features = in_layout(layout, features).requires_grad_()
    results = []
    for function in (l2_normalize, reference.l2_normalize):
        output = function(features, weight)
        results.append((output, *torch.autograd.grad(output, (features, weight), gradient)))
    for ours, twin in zip(*results, strict=True):
        # Gradients of pixels that are all 0 are of the size of 1e10.
        torch.testing.assert_close(ours, twin, rtol=1e-4, atol=1e-4)
    assert results[0][0].is_contiguous(
        memory_format=torch.channels_last if layout == "channels_last" else torch.contiguous_format
    )


def assert_like_twin(features: Tensor, weight: Tensor, gradient: Tensor) -> None:
    """Output and gradients, against those of the twin in double."""
    output = torch.ops.s3fd.l2_normalize(features, weight)
    found = (output, *torch.ops.s3fd.l2_normalize_backward(gradient, features, weight))
    exact = [t.double() for t in (gradient, features, weight)]
    expected = (reference.l2_normalize(*exact[1:]), *l2_normalize_backward(*exact))
    # What cancels in the gradient is of this size.
    pull = (
        exact[0].abs().amax(1) / exact[1].norm(dim=1)
    ).amax().item() * weight.abs().amax().item()
    for ours, twin in zip(found, expected, strict=True):
        tolerance = 8 * torch.finfo(ours.dtype).eps
        torch.testing.assert_close(
            ours.double(), twin, rtol=tolerance, atol=tolerance * max(pull, twin.abs().amax())
        )


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
@pytest.mark.parametrize(
    "channels", [1, 2, 31, 32, 33, 64, 127, 128, 129, 256, 257, 512, 513, 516, 520, 1024, 1100]
)
def test_any_number_of_channels(channels: int, layout: str) -> None:
    generator = torch.Generator().manual_seed(channels)
    for dtype in (torch.float32, torch.float16, torch.float64):
        features, gradient = (
            in_layout(layout, torch.randn(1, channels, 3, 4, generator=generator).to(dtype))
            for _ in range(2)
        )
        weight = torch.rand(channels, generator=generator, dtype=torch.float64) + 0.5
        weight = weight.to(torch.promote_types(dtype, torch.float32))
        assert_like_twin(features, weight, gradient)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("pixels", [1, 7, 8, 9, 31, 32, 33, 255, 256, 257, 1023, 1025, 8200, 33000])
def test_any_number_of_pixels(pixels: int, layout: str) -> None:
    generator = torch.Generator().manual_seed(pixels)
    features, gradient = (
        in_layout(layout, torch.randn(1, 4, 1, pixels, generator=generator)) for _ in range(2)
    )
    assert_like_twin(features, torch.tensor([1.0, -2, 0.5, 3]), gradient)


def test_more_channels_than_a_block_has_room_for() -> None:
    features = in_layout("channels_last", torch.rand(1, 12_300, 1, 3) + 0.1)
    assert_like_twin(features, torch.rand(12_300), in_layout("channels_last", features.flip(1)))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_features_and_weight_may_begin_anywhere(layout: str) -> None:
    generator = torch.Generator().manual_seed(0)
    wide = in_layout(layout, torch.randn(2, 17, 3, 5, generator=generator))
    gradient = in_layout(layout, torch.randn(2, 16, 3, 5, generator=generator))
    weights = torch.rand(33, generator=generator)
    for features in (wide[:, 1:], wide[:, :16]):
        for weight in (weights[:16], weights[1:17], weights[:32:2]):
            assert_like_twin(features, weight, gradient)


def test_the_twin_has_the_gradient_that_autograd_finds() -> None:
    features = torch.randn(2, 5, 3, 4, dtype=torch.float64).requires_grad_()
    weight = torch.randn(5, dtype=torch.float64).requires_grad_()
    gradient = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    wanted = torch.autograd.grad(
        reference.l2_normalize(features, weight), (features, weight), gradient
    )
    found = l2_normalize_backward(gradient, features.detach(), weight.detach())
    torch.testing.assert_close(found, wanted)


def test_the_number_of_threads_changes_nothing() -> None:
    features, gradient = torch.randn(2, 2, 19, 70, 90).unbind()
    features, weight = features.requires_grad_(), torch.ones(19).requires_grad_()
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            output = l2_normalize(features, weight)
            found.append((output, *torch.autograd.grad(output, (features, weight), gradient)))
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_errs_at_most_twice_as_much_as_pytorch(dtype: torch.dtype) -> None:
    features, weight = torch.randn(1, 64, 9, 9).to(dtype), torch.rand(64).to(dtype)
    exact = reference.l2_normalize(features.double(), weight.double())
    norm = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    theirs = features / (norm + 1e-10) * weight[:, None, None]
    error = (l2_normalize(features, weight).double() - exact).abs().max()
    assert error <= 2 * (theirs.double() - exact).abs().max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opcheck(layout: str) -> None:
    features = in_layout(layout, torch.randn(2, 3, 4, 5)).requires_grad_()
    weight = torch.randn(3).requires_grad_()
    torch.library.opcheck(torch.ops.s3fd.l2_normalize, (features, weight))
    backward = (torch.randn(2, 3, 4, 5), features.detach(), weight.detach())
    torch.library.opcheck(torch.ops.s3fd.l2_normalize_backward, backward)


def test_compiles_into_one_graph() -> None:
    compiled = torch.compile(l2_normalize, backend="aot_eager", fullgraph=True)
    features, weight = torch.randn(1, 4, 5, 6).requires_grad_(), torch.ones(4).requires_grad_()
    output = compiled(features, weight)
    assert torch.equal(output, l2_normalize(features, weight))
    output.sum().backward()
    assert features.grad is not None


def test_a_second_derivative_is_refused_by_name() -> None:
    features, weight = torch.randn(1, 4, 2, 2).requires_grad_(), torch.ones(4)
    output = l2_normalize(features, weight).square().sum()
    (gradient,) = torch.autograd.grad(output, features, create_graph=True)
    with pytest.raises(RuntimeError, match="s3fd::l2_normalize_backward has no derivative"):
        gradient.sum().backward()


def test_gradcheck() -> None:
    features = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(l2_normalize, (features, weight))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(dtype: torch.dtype) -> None:
    features = torch.randn(1, 8, 3, 3).to(dtype)
    weight = torch.full((8,), 10.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = l2_normalize(features, weight)
    assert output.dtype == dtype
    assert torch.equal(output, l2_normalize(features, weight))


def test_half_precision_does_not_overflow_inside() -> None:
    features = torch.full((1, 4, 1, 1), 60000.0, dtype=torch.float16)
    assert l2_normalize(features, torch.ones(4).half()).flatten().tolist() == [0.5] * 4


@pytest.mark.parametrize(
    ("features", "weight", "error", "text"),
    [
        ([1.0], torch.ones(1), TypeError, "features: expected a floating-point tensor"),
        (torch.ones(2, 3, 3), torch.ones(2), ValueError, r"features: .*\[B, C, H, W\]"),
        (torch.ones(1, 2, 3, 3), torch.ones(3), ValueError, r"weight: .*\[2\], got"),
        (torch.ones(1, 2, 3, 3).long(), torch.ones(2), TypeError, "features"),
        (torch.ones(1, 2, 3, 3), torch.ones(2, device="meta"), ValueError, "weight: .* on cpu"),
    ],
)
def test_bad_arguments_are_named(features, weight, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        l2_normalize(features, weight)
