"""The multibox loss: its sums, and which backgrounds are mined."""

import math

import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import ANCHOR, batch_of, kept_anchors, one_image, replay, results_of

from s3fd.ops import AnchorGrid, match_anchors, multibox_loss, reference
from s3fd.ops._ragged import join

OPERATOR = torch.ops.s3fd.multibox_loss.default
BACKWARD = torch.ops.s3fd.multibox_loss_backward.default


@given(
    num_images=st.integers(0, 3),
    num_anchors=st.integers(0, 24),
    negative_ratio=st.sampled_from([0, 0.5, 1, 2.5, 3, 100, math.inf]),
    seed=st.integers(0, 2**32 - 1),
)
def test_losses_and_mined_anchors_are_what_the_rule_says(
    num_images: int, num_anchors: int, negative_ratio: float, seed: int
) -> None:
    logits, deltas, anchors, boxes, matched = batch_of(num_images, num_anchors, seed)
    logits.requires_grad_()
    ratio = min(negative_ratio, num_anchors)
    expected = replay(logits.detach(), deltas, anchors, boxes, matched, ratio)
    class_loss, box_loss = multibox_loss(
        logits, deltas, anchors, boxes, matched, negative_ratio=negative_ratio
    )
    assert class_loss.shape == box_loss.shape == ()
    assert class_loss.item() == pytest.approx(expected[0], rel=1e-12)
    assert box_loss.item() == pytest.approx(expected[1], rel=1e-12)
    class_loss.backward()
    assert kept_anchors(logits.grad) == expected[2]


def test_a_real_grid_gives_what_the_rule_says() -> None:
    grid = AnchorGrid.s3fd()
    anchors = grid.anchors(grid.feature_sizes((128, 128)))
    boxes = [
        torch.tensor([[10.0, 20, 40, 50], [80, 80, 90, 92]]),
        torch.empty(0, 4),
        torch.tensor([[0.0, 0, 128, 128]]),
    ]
    matched = match_anchors(anchors, boxes, ignore=[torch.tensor([[0.0, 0, 60, 9]])] * 3)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, len(anchors), 2, generator=generator).requires_grad_()
    deltas = torch.randn(3, len(anchors), 4, generator=generator)
    expected = replay(logits.detach(), deltas, anchors, boxes, matched)
    class_loss, box_loss = multibox_loss(logits, deltas, anchors, boxes, matched)
    assert class_loss.item() == pytest.approx(expected[0], rel=1e-5)
    assert box_loss.item() == pytest.approx(expected[1], rel=1e-5)
    class_loss.backward()
    assert kept_anchors(logits.grad) == expected[2]


def test_smooth_l1_sums_the_coordinates_and_averages_the_positives() -> None:
    logits, deltas, anchors, matched = one_image([0, 0, 0], [0, 0, -1])
    deltas[0, 0] = torch.tensor([0.5, -0.5, 1.0, 3.0])  # 0.125 + 0.125 + 0.5 + 2.5
    deltas[0, 2] = 100.0
    _, box_loss = multibox_loss(logits, deltas, anchors, [torch.tensor([ANCHOR])], matched)
    assert box_loss.item() == pytest.approx(3.25 / 2)


@pytest.mark.parametrize("fill", [0.0, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("images", [0, 2])
@pytest.mark.parametrize("num_anchors", [0, 5])
@pytest.mark.parametrize("label", [-1, -2])
def test_a_batch_without_positives_has_no_loss_and_no_gradient(
    fill: float, images: int, num_anchors: int, label: int
) -> None:
    logits = torch.full((images, num_anchors, 2), fill, requires_grad=True)
    deltas = torch.full((images, num_anchors, 4), fill, requires_grad=True)
    anchors = torch.tensor(ANCHOR).expand(num_anchors, 4)
    matched = torch.full((images, num_anchors), label)
    boxes = [torch.empty(0, 4)] * images
    class_loss, box_loss = multibox_loss(logits, deltas, anchors, boxes, matched)
    (class_loss + 4 * box_loss).backward()
    assert class_loss.item() == box_loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    assert torch.equal(deltas.grad, torch.zeros_like(deltas))


def test_a_nan_background_is_mined_and_shows_in_the_loss() -> None:
    logits, deltas, anchors, matched = one_image([0, 9, math.nan, 9], [0, -1, -1, -1])
    boxes = [torch.tensor([ANCHOR])]
    assert multibox_loss(logits, deltas, anchors, boxes, matched, negative_ratio=1)[0].isnan()


def test_large_logits_do_not_overflow() -> None:
    logits, deltas, anchors, matched = one_image([-1e30, 1e30], [0, -1])
    class_loss, _ = multibox_loss(logits, deltas, anchors, [torch.tensor([ANCHOR])], matched)
    class_loss.backward()
    assert class_loss.item() == pytest.approx(1e30)
    assert logits.grad.isfinite().all()


def test_gradcheck() -> None:
    logits, deltas, anchors, boxes, matched = batch_of(2, 12, seed=5)
    assert (matched >= 0).any()
    generator = torch.Generator().manual_seed(0)
    logits += torch.rand(logits.shape, generator=generator, dtype=torch.float64)
    deltas += torch.rand(deltas.shape, generator=generator, dtype=torch.float64) / 4
    assert torch.autograd.gradcheck(
        lambda x, y: multibox_loss(x, y, anchors, boxes, matched),
        (logits.requires_grad_(), deltas.requires_grad_()),
    )


@given(
    sizes=st.sampled_from([(0, 5), (1, 0), (1, 1), (2, 7), (1, 100), (3, 1023), (1, 2500)]),
    negative_ratio=st.sampled_from([0, 0.5, 1, 2.5, 3, 20, 1e300, math.inf]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    layout=st.sampled_from(["contiguous", "channels_first", "sliced", "unaligned"]),
    odd=st.sampled_from([None, math.nan, math.inf, -math.inf, -0.0]),
    rare=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=400)
def test_losses_and_gradients_are_the_twins(
    sizes: tuple[int, int],
    negative_ratio: float,
    dtype: torch.dtype,
    layout: str,
    odd: float | None,
    rare: bool,
    seed: int,
) -> None:
    logits, deltas, anchors, boxes, matched = batch_of(*sizes, seed, torch.float32)
    generator = torch.Generator().manual_seed(seed)
    if odd is not None:
        logits[torch.rand(logits.shape, generator=generator) < 0.03] = odd
    if rare:  # positives
        matched[torch.rand(matched.shape, generator=generator) < 0.97] = -1
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    if layout == "channels_first":
        logits, deltas = (t.transpose(1, 2).contiguous().transpose(1, 2) for t in (logits, deltas))
        matched = matched.t().contiguous().t()
    elif layout == "sliced":
        logits, deltas, anchors, matched = (
            t.repeat_interleave(2, dim=-1)[..., ::2] for t in (logits, deltas, anchors, matched)
        )
    elif layout == "unaligned":
        logits, deltas = (
            torch.cat([t.new_zeros(1), t.flatten()])[1:].view_as(t) for t in (logits, deltas)
        )
    results = [
        results_of(f, logits, deltas, anchors, boxes, matched, negative_ratio=negative_ratio)
        for f in (multibox_loss, reference.multibox_loss)
    ]
    for ours, expected in zip(*results, strict=True):
        assert ours.dtype == expected.dtype
        torch.testing.assert_close(ours, expected, equal_nan=True)
    if odd is None:
        assert torch.equal(results[0][2] != 0, results[1][2] != 0)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    _, _, anchors, boxes, matched = batch_of(5, 20_000, seed=1, dtype=torch.float32)
    logits, deltas = torch.randn(5, 20_000, 2), torch.randn(5, 20_000, 4)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(results_of(multibox_loss, logits, deltas, anchors, boxes, matched))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(map(torch.equal, result, results[0]))


@pytest.mark.parametrize("types", [(torch.float32, torch.float64), (torch.float16, torch.float32)])
def test_logits_and_deltas_may_differ_in_dtype(types: tuple[torch.dtype, torch.dtype]) -> None:
    for first, second in (types, types[::-1]):
        logits, deltas, anchors, boxes, matched = batch_of(2, 40, seed=3)
        arguments = logits.to(first), deltas.to(second), anchors, boxes, matched
        ours, expected = (
            results_of(f, *arguments) for f in (multibox_loss, reference.multibox_loss)
        )
        torch.testing.assert_close(ours, expected)


def operator_arguments(dtype: torch.dtype = torch.float32) -> tuple:
    logits, deltas, anchors, boxes, matched = batch_of(2, 40, seed=3, dtype=dtype)
    return logits, deltas, anchors, *join(boxes, dtype, anchors.device), matched, 3.0, 0.1, 0.2


def backward_arguments(dtype: torch.dtype = torch.float32) -> tuple:
    arguments = operator_arguments(dtype)
    _, _, kept, counts = OPERATOR(*arguments)
    gradients = torch.tensor(2.0, dtype=dtype), torch.tensor(3.0, dtype=dtype)
    return *gradients, *arguments[:6], kept, counts, *arguments[7:]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_opcheck(dtype: torch.dtype) -> None:
    arguments = operator_arguments(dtype)
    torch.library.opcheck(OPERATOR, arguments)
    leaves = (t.clone().requires_grad_() for t in arguments[:2])
    torch.library.opcheck(OPERATOR, (*leaves, *arguments[2:]))
    torch.library.opcheck(BACKWARD, backward_arguments(dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_devices_without_a_kernel_run_that_of_the_cpu(dtype: torch.dtype) -> None:
    arguments = operator_arguments(dtype)
    torch.testing.assert_close(run_elsewhere(OPERATOR, *arguments), OPERATOR(*arguments))
    arguments = backward_arguments(dtype)
    torch.testing.assert_close(run_elsewhere(BACKWARD, *arguments), BACKWARD(*arguments))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_gradients_of_the_losses_may_be_of_any_dtype(dtype: torch.dtype) -> None:
    arguments = backward_arguments()
    others = *(gradient.to(dtype) for gradient in arguments[:2]), *arguments[2:]
    torch.testing.assert_close(BACKWARD(*others), BACKWARD(*arguments), rtol=0, atol=0)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1023, 1024, 1025])
def test_every_anchor_gets_its_gradient(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    matched = torch.zeros(3, size, dtype=torch.int64)  # all are positive
    logits = torch.randn(3, size, 2, generator=generator)
    deltas = torch.randn(3, size, 4, generator=generator)
    arguments = logits, deltas, torch.tensor(ANCHOR).expand(size, 4), [torch.tensor([ANCHOR])] * 3
    ours, expected = (
        results_of(f, *arguments, matched) for f in (multibox_loss, reference.multibox_loss)
    )
    torch.testing.assert_close(ours, expected)
    assert (ours[2] != 0).all()
    assert (ours[3] != 0).all()


def test_double_backward_is_refused_by_name() -> None:
    logits, deltas, *others = batch_of(2, 40, seed=3)
    loss, _ = multibox_loss(logits.requires_grad_(), deltas, *others)
    (gradient,) = torch.autograd.grad(loss.square(), logits, create_graph=True)
    with pytest.raises(RuntimeError, match="s3fd::multibox_loss_backward"):
        gradient.sum().backward()


def test_compiles_into_one_graph() -> None:
    compiled = torch.compile(
        lambda *arguments: sum(multibox_loss(*arguments)), fullgraph=True, backend="aot_eager"
    )
    for num_anchors in (40, 50):
        logits, deltas, *others = batch_of(2, num_anchors, seed=3)
        gradients = []
        for function in (compiled, lambda *arguments: sum(multibox_loss(*arguments))):
            leaves = [t.clone().requires_grad_() for t in (logits, deltas)]
            function(*leaves, *others).backward()
            gradients.append([leaf.grad for leaf in leaves])
        torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_one_loss_alone_can_be_differentiated() -> None:
    logits, deltas, *others = batch_of(2, 40, seed=3)
    leaves = logits.requires_grad_(), deltas.requires_grad_()
    for index in (0, 1):
        gradients = torch.autograd.grad(multibox_loss(*leaves, *others)[index], leaves)
        assert gradients[index].abs().sum() > 0
        assert gradients[1 - index].abs().sum() == 0


def test_the_kernel_itself_refuses_what_it_could_not_read() -> None:
    arguments = list(operator_arguments())
    arguments[3] = arguments[3][:-1]
    with pytest.raises(RuntimeError, match="splits"):
        OPERATOR(*arguments)
    arguments = list(backward_arguments())
    arguments[7] = arguments[7].clamp(min=1000)
    with pytest.raises(RuntimeError, match="names a box"):
        BACKWARD(*arguments)
    for dtype in (torch.int64, torch.bool):
        arguments = list(backward_arguments())
        arguments[1] = arguments[1].to(dtype)
        with pytest.raises(RuntimeError, match="expected a floating-point tensor, got"):
            BACKWARD(*arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_compute_in_float32(dtype: torch.dtype) -> None:
    logits, deltas, anchors, boxes, matched = batch_of(2, 40, seed=3, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(logits.shape, generator=generator).to(dtype)
    deltas = torch.randn(deltas.shape, generator=generator).to(dtype)
    expected = multibox_loss(logits.float(), deltas.float(), anchors, boxes, matched)
    assert expected[0] > 0
    assert expected[1] > 0
    logits.requires_grad_()
    deltas.requires_grad_()
    assert multibox_loss(logits, deltas, anchors, boxes, matched) == expected
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = multibox_loss(logits, deltas, anchors, boxes, matched)
    assert losses == expected
    assert losses[0].dtype == losses[1].dtype == torch.float32
    sum(losses).backward()
    assert logits.grad.dtype == deltas.grad.dtype == dtype


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"logits": [0.0]}, TypeError, "logits: expected a floating-point tensor"),
        ({"logits": torch.zeros(2, 3, 4)}, ValueError, r"logits: .*\[2, 3, 4\]"),
        ({"deltas": torch.zeros(2, 4, 4)}, ValueError, r"deltas: .*\[2, 4, 4\]"),
        ({"anchors": torch.zeros(4, 4)}, ValueError, "anchors"),
        ({"boxes": [torch.zeros(1, 4)]}, ValueError, "boxes: .* 2 images, got 1"),
        ({"boxes": [torch.zeros(1, 4), None]}, TypeError, r"boxes\[1\]"),
        ({"matched": torch.zeros(2, 3)}, TypeError, "matched: .*int64"),
        ({"matched": torch.zeros(2, 2, dtype=torch.int64)}, ValueError, "matched"),
        ({"matched": torch.tensor([[0, 0, 0], [0, 1, 0]])}, ValueError, r"matched\[1\].* got 1"),
        ({"matched": torch.tensor([[0, -3, 0], [0, 0, 0]])}, ValueError, r"matched\[0\].* got -3"),
        ({"anchors": torch.zeros(3, 4, device="meta")}, ValueError, "anchors: .* on cpu"),
        ({"negative_ratio": -1}, ValueError, "negative_ratio"),
        ({"negative_ratio": math.nan}, ValueError, "negative_ratio"),
        ({"variances": (0.1, 0.0)}, ValueError, "variances"),
    ],
)
def test_bad_arguments_are_named(change, error: type[Exception], text: str) -> None:
    arguments = {
        "logits": torch.zeros(2, 3, 2),
        "deltas": torch.zeros(2, 3, 4),
        "anchors": torch.tensor([ANCHOR] * 3),
        "boxes": [torch.tensor([ANCHOR])] * 2,
        "matched": torch.zeros(2, 3, dtype=torch.int64),
    }
    with pytest.raises(error, match=text):
        multibox_loss(**(arguments | change))
