"""Forward mode and torch.func, which no compiled operator has a formula for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

from s3fd import ops

torch.manual_seed(0)
DOUBLE = torch.float64
ANCHORS = torch.tensor([[0.0, 0, 16, 16], [16, 0, 32, 20], [8, 8, 40, 40]], dtype=DOUBLE)
BOXES = ANCHORS + 4 * torch.rand(3, 4, dtype=DOUBLE)
FACES = [BOXES[:2], BOXES[1:2]]
MATCHED = ops.match_anchors(ANCHORS, FACES)


def _loss(module: Any) -> Callable[..., Tensor]:
    def loss(logits: Tensor, deltas: Tensor) -> Tensor:
        class_loss, box_loss = module.multibox_loss(logits, deltas, ANCHORS, FACES, MATCHED)
        return torch.stack([class_loss, box_loss])

    return loss


def _decode(module: Any) -> Callable[..., Tensor]:
    return lambda deltas, anchors: module.decode_boxes(deltas, anchors, image_size=(30, 30))


def _random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=DOUBLE)


FUNCTIONS: dict[str, tuple[Callable[[Any], Callable[..., Tensor]], tuple[Tensor, ...]]] = {
    "encode_boxes": (lambda module: module.encode_boxes, (BOXES, ANCHORS)),
    "decode_boxes": (_decode, (_random(2, 3, 4), ANCHORS)),
    "l2_normalize": (lambda module: module.l2_normalize, (_random(2, 4, 2, 3), _random(4))),
    "max_out_background": (lambda module: module.max_out_background, (_random(2, 4, 2, 3),)),
    "multibox_loss": (_loss, (_random(2, 3, 2), _random(2, 3, 4))),
}


@pytest.fixture(params=FUNCTIONS)
def case(
    request: pytest.FixtureRequest,
) -> tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[Tensor, ...]]:
    """An operator as a function of what it is differentiable in, its twin, and these tensors."""
    make, inputs = FUNCTIONS[request.param]
    return make(ops), make(ops.reference), inputs


Case = tuple[Callable[..., Tensor], Callable[..., Tensor], tuple[Tensor, ...]]


def leaves(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.clone().requires_grad_() for tensor in inputs)


def summed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return lambda *inputs: function(*inputs).square().sum()


def test_every_differentiable_operator_is_here() -> None:
    backwards = {name for name in dir(torch.ops.s3fd) if name.endswith("_backward")}
    assert backwards == {f"{name}_backward" for name in FUNCTIONS}


def test_gradcheck_of_backward_and_forward_mode(case: Case) -> None:
    function, _, inputs = case
    assert torch.autograd.gradcheck(
        function, leaves(inputs), check_forward_ad=True, check_batched_grad=True
    )


def test_forward_mode_gives_the_twins_derivative(case: Case) -> None:
    function, twin, inputs = case
    tangents = tuple(torch.randn_like(tensor) for tensor in inputs)
    torch.testing.assert_close(jvp(function, inputs, tangents), jvp(twin, inputs, tangents))
    assert jvp(function, inputs, tangents)[1].abs().max() > 0


def test_dual_tensors_carry_the_derivative_without_requires_grad(case: Case) -> None:
    function, twin, inputs = case
    tangents = tuple(torch.randn_like(tensor) for tensor in inputs)
    with forward_ad.dual_level():
        duals = map(forward_ad.make_dual, inputs, tangents)
        found = forward_ad.unpack_dual(function(*duals)).tangent
    torch.testing.assert_close(found, jvp(twin, inputs, tangents)[1])


def test_a_dual_gradient_passes_its_tangent_through_the_backward(case: Case) -> None:
    function, _, inputs = case
    inputs = leaves(inputs)
    output = function(*inputs)
    with forward_ad.dual_level():
        gradient = forward_ad.make_dual(torch.ones_like(output), torch.full_like(output, 2.0))
        found = torch.autograd.grad(output, inputs, gradient)
        tangents = [forward_ad.unpack_dual(tensor).tangent for tensor in found]
    expected = torch.autograd.grad(function(*inputs), inputs, torch.full_like(output, 2.0))
    torch.testing.assert_close(tangents, list(expected))


def test_func_grad_is_what_backward_gives(case: Case) -> None:
    function, _, inputs = case
    every = tuple(range(len(inputs)))
    differentiable = leaves(inputs)
    expected = torch.autograd.grad(summed(function)(*differentiable), differentiable)
    torch.testing.assert_close(grad(summed(function), every)(*inputs), expected)


@pytest.mark.parametrize("transform", [jacrev, jacfwd])
def test_jacobians_are_those_of_the_twin(case: Case, transform: Callable[..., Any]) -> None:
    function, twin, inputs = case
    every = tuple(range(len(inputs)))
    torch.testing.assert_close(transform(function, every)(*inputs), jacrev(twin, every)(*inputs))


def test_forward_over_reverse_is_not_zero_but_the_hessian(case: Case) -> None:
    function, twin, inputs = case
    torch.testing.assert_close(hessian(summed(function))(*inputs), hessian(summed(twin))(*inputs))


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"multibox_loss"}))
def test_vmap_is_a_loop_over_samples(name: str) -> None:
    make, inputs = FUNCTIONS[name]
    function, others = make(ops), tuple(tensor + 0.1 for tensor in inputs)
    found = vmap(function)(*map(torch.stack, zip(inputs, others, strict=True)))
    torch.testing.assert_close(found, torch.stack([function(*inputs), function(*others)]))


def test_vmap_over_the_loss_is_refused_by_name() -> None:
    make, inputs = FUNCTIONS["multibox_loss"]
    with pytest.raises(RuntimeError, match=r"multibox_loss: torch\.func\.vmap can't .* one batch"):
        vmap(make(ops))(*(tensor[None] for tensor in inputs))


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - {"multibox_loss"}))
def test_forward_mode_within_a_compiled_function(name: str) -> None:
    make, inputs = FUNCTIONS[name]
    function, twin = make(ops), make(ops.reference)
    compiled = torch.compile(
        lambda *inputs: jvp(function, inputs, inputs)[1], fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(compiled(*inputs), jvp(twin, inputs, inputs)[1])


@pytest.mark.parametrize("name", ["max_out_background", "encode_boxes"])
def test_under_autocast_a_transform_answers_in_the_dtype_of_the_kernel(name: str) -> None:
    function = getattr(ops, name)
    inputs = [torch.rand(1, 4, 2, 4, dtype=torch.bfloat16)] * (2 if name == "encode_boxes" else 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = function(*inputs).dtype
        assert vmap(function)(*[tensor[None] for tensor in inputs]).dtype == expected
