"""exp and log as the box code computes them, over all kinds of numbers."""

import math
from decimal import Context, Decimal, localcontext

import pytest
import torch
from torch import Tensor

from s3fd.ops import decode_boxes, encode_boxes

VARIANCES = (1.0, 1.0)


def numbers() -> Tensor:
    """Every exponent and sign with random fractions, and what lies at the ends of the ranges."""
    bits = torch.randint(-(2**31), 2**31, (200_000,), generator=torch.Generator().manual_seed(0))
    usual = torch.linspace(-104, 89, 100_000)
    ends = torch.tensor([0.0, -0.0, 1.0, 88.72283, 88.72284, -87.33655, -103.9721, -103.9722])
    tiny = torch.tensor([1e-45, 1.1754942e-38, 1.1754944e-38, 3.4028235e38, -1e-45])
    near_one = torch.tensor([math.sqrt(0.5), math.sqrt(2)]).repeat_interleave(41)
    near_one = near_one + torch.arange(-20, 21).repeat(2) * 6e-8
    special = torch.tensor([math.inf, -math.inf, math.nan])
    return torch.cat(
        [bits.to(torch.int32).view(torch.float32), usual, ends, tiny, near_one, special]
    )


def exp(x: Tensor) -> Tensor:
    """As the right edge of a box around 0 that is decoded from the log of half its size."""
    deltas = torch.zeros(len(x), 4, dtype=x.dtype)
    deltas[:, 2] = x
    anchors = torch.tensor([-1.0, -1.0, 1.0, 1.0], dtype=x.dtype).expand(len(x), 4)
    return decode_boxes(deltas, anchors, VARIANCES)[:, 2]


def log(x: Tensor) -> Tensor:
    """As the log size of a box on an anchor of size 1."""
    boxes = torch.zeros(len(x), 4, dtype=x.dtype)
    boxes[:, 2:] = x[:, None]
    anchors = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=x.dtype).expand(len(x), 4)
    deltas = encode_boxes(boxes, anchors, VARIANCES)
    torch.testing.assert_close(deltas[:, 2], deltas[:, 3], rtol=0, atol=0, equal_nan=True)
    return deltas[:, 2]


def errors(found: Tensor, exact: Tensor) -> Tensor:
    """Distances from the exact values, in units of the last place of a float32 of that size."""
    _, exponents = torch.frexp(exact.abs().clamp(min=2.0**-126))
    return (found.double() - exact).abs() / torch.exp2(exponents.double() - 24)


def worst_error_of_double(found: Tensor, exact: list[Decimal]) -> float:
    """The largest distance from the exact values, in units of the last place of a float64."""
    worst = Decimal(0)
    for number, value in zip(found.tolist(), exact, strict=True):
        unit = math.ulp(max(abs(float(value)), 2.0**-1022))
        worst = max(worst, abs(Decimal(number) - value) / Decimal(unit))
    return float(worst)


def test_exp_is_less_than_one_unit_off() -> None:
    x = numbers()
    x = x[~(x > 88.02)]  # twice its exp is what the box code needs, and that must be finite
    found, exact = exp(x), torch.exp(x.double())
    assert torch.equal(found.isnan(), exact.isnan())
    assert errors(found, exact)[~exact.isnan()].max() < 1
    assert exp(torch.tensor([-math.inf, -104.0, 0.0, -0.0])).tolist() == [0, 0, 1, 1]


def test_exp_of_double_is_less_than_one_unit_off() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(3000, generator=generator, dtype=torch.float64) * 2 - 1
    x = torch.cat([0.36 * places[:1000], 40 * places[1000:2000], 709 * places[2000:]])
    x = torch.cat([x, torch.tensor([709.0, -708.0, -708.4, -744.0, 1e-17], dtype=torch.float64)])
    with localcontext(Context(prec=40)):
        exact = [Decimal(number).exp() for number in x.tolist()]
        assert worst_error_of_double(exp(x), exact) < 1
    ends = torch.tensor([-math.inf, -1e300, -746.0, 0.0, -0.0], dtype=torch.float64)
    assert exp(ends).tolist() == [0, 0, 0, 1, 1]
    assert exp(torch.tensor([math.nan], dtype=torch.float64)).isnan().all()


@pytest.mark.parametrize("x", [89.0, 1e4, 3e38, math.inf])
def test_exp_of_what_is_too_large_is_infinite(x: float) -> None:
    assert exp(torch.tensor([x])).tolist() == [math.inf]
    assert exp(torch.tensor([8 * x], dtype=torch.float64)).tolist() == [math.inf]


def test_log_is_less_than_one_unit_off() -> None:
    x = numbers()
    found, exact = log(x), torch.log(x.double())
    finite = exact.isfinite()
    torch.testing.assert_close(
        found[~finite], exact[~finite].float(), rtol=0, atol=0, equal_nan=True
    )
    assert errors(found, exact)[finite].max() < 1
    assert log(torch.tensor([0.0, -0.0, 1.0])).tolist() == [-math.inf, -math.inf, 0]


def test_log_of_double_is_less_than_one_unit_off() -> None:
    generator = torch.Generator().manual_seed(0)
    places = torch.rand(3000, generator=generator, dtype=torch.float64)
    x = torch.cat([0.5 + 1.5 * places[:1000], 1e6 * places[1000:2000], 1e-310 * places[2000:]])
    ends = [5e-324, 2.0**-1022, 1.7976931348623157e308, math.sqrt(0.5), math.sqrt(2)]
    x = torch.cat([x, torch.tensor(ends, dtype=torch.float64)])
    with localcontext(Context(prec=40)):
        exact = [Decimal(number).ln() for number in x.tolist()]
        assert worst_error_of_double(log(x), exact) < 1
    special = torch.tensor([0.0, -0.0, 1.0, math.inf], dtype=torch.float64)
    assert log(special).tolist() == [-math.inf, -math.inf, 0, math.inf]
    assert log(torch.tensor([-1.0, math.nan], dtype=torch.float64)).isnan().all()
