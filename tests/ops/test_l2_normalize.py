"""The scaled L2 norm over channels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import l2_normalize


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


def test_gradcheck() -> None:
    features = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(l2_normalize, (features, weight))


def test_autocast_computes_and_answers_in_float32() -> None:
    features = torch.randn(1, 8, 3, 3).bfloat16()
    weight = torch.full((8,), 10.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = l2_normalize(features, weight)
    assert output.dtype == torch.float32
    assert torch.equal(output, l2_normalize(features.float(), weight))


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
