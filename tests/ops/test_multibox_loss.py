"""The multibox loss: its sums, and which backgrounds are mined."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import AnchorGrid, match_anchors, multibox_loss, reference
from s3fd.ops.multibox_loss import _joined
from s3fd.ops.reference.multibox_loss import mine

OPERATOR = torch.ops.s3fd.multibox_loss.default
BACKWARD = torch.ops.s3fd.multibox_loss_backward.default
ANCHOR = [0.0, 0, 16, 16]


def replay(
    logits: Tensor,
    deltas: Tensor,
    anchors: Tensor,
    boxes: list[Tensor],
    matched: Tensor,
    negative_ratio: float = 3,
    variances: tuple[float, float] = (0.1, 0.2),
) -> tuple[float, float, set[tuple[int, int]]]:
    """Both losses and the kept anchors ``(image, index)``, with loops and Python's numbers."""
    kept: set[tuple[int, int]] = set()
    box_sum, positives = 0.0, 0
    for b, row in enumerate(matched.tolist()):
        positive = [a for a, box in enumerate(row) if box >= 0]
        background = [a for a, box in enumerate(row) if box == -1]
        margin = (logits[b, :, 1] - logits[b, :, 0]).tolist()
        background.sort(key=lambda a: (-margin[a], a))
        kept |= {(b, a) for a in positive + background[: int(negative_ratio * len(positive))]}
        positives += len(positive)
        for a in positive:
            wanted = encode(boxes[b][row[a]].tolist(), anchors[a].tolist(), variances)
            for predicted, target in zip(deltas[b, a].tolist(), wanted, strict=True):
                error = abs(predicted - target)
                box_sum += error**2 / 2 if error < 1 else error - 0.5
    class_sum = 0.0
    for b, a in kept:
        background_logit, face_logit = logits[b, a].tolist()
        margin_against = background_logit - face_logit
        if matched[b, a] < 0:
            margin_against = -margin_against
        class_sum += max(margin_against, 0) + math.log1p(math.exp(-abs(margin_against)))
    return class_sum / max(len(kept), 1), box_sum / max(positives, 1), kept


def encode(box: list[float], anchor: list[float], variances: tuple[float, float]) -> list[float]:
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    return [
        (box[0] + box[2] - anchor[0] - anchor[2]) / 2 / width / variances[0],
        (box[1] + box[3] - anchor[1] - anchor[3]) / 2 / height / variances[0],
        math.log((box[2] - box[0]) / width) / variances[1],
        math.log((box[3] - box[1]) / height) / variances[1],
    ]


def kept_anchors(gradient: Tensor) -> set[tuple[int, int]]:
    """The anchors that the class loss has a gradient for."""
    return {(b, a) for b, a in gradient.abs().sum(dim=2).nonzero().tolist()}


def batch_of(
    num_images: int, num_anchors: int, seed: int, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor, list[Tensor], Tensor]:
    """Logits that tie often, boxes and anchors of integers, and matches of every kind."""
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, *shape: int) -> Tensor:
        return torch.randint(low, high, shape, generator=generator)

    corner = integers(0, 9, num_anchors, 2)
    anchors = torch.cat([corner, corner + integers(1, 9, num_anchors, 2)], dim=1).to(dtype)
    boxes = []
    matched = torch.empty(num_images, num_anchors, dtype=torch.int64)
    for image in range(num_images):
        count = int(integers(0, 4, 1))
        corner = integers(0, 9, count, 2)
        boxes.append(torch.cat([corner, corner + integers(1, 9, count, 2)], dim=1).to(dtype))
        matched[image] = integers(-9, 3, num_anchors).clamp(-1, count - 1)
        matched[image, integers(0, 9, num_anchors) == 0] = -2
    logits = integers(-2, 3, num_images, num_anchors, 2).to(dtype)
    deltas = integers(-3, 4, num_images, num_anchors, 4).to(dtype) / 2
    return logits, deltas, anchors, boxes, matched


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


def one_image(margins: list[float], matched: list[int]) -> tuple[Tensor, ...]:
    logits = torch.tensor([[[0.0, margin] for margin in margins]], requires_grad=True)
    anchors = torch.tensor([ANCHOR] * len(margins))
    return logits, torch.zeros(1, len(margins), 4), anchors, torch.tensor([matched])


@pytest.mark.parametrize(
    ("margins", "matched", "kept"),
    [
        ([1, 1, 1, 1, 1, 1], [-1, -1, 0, -1, -1, -1], [0, 1, 2, 3]),  # all equal: lower index
        ([0, 2, 1, 2, 1, 1], [0, -1, -1, -1, -1, -1], [0, 1, 2, 3]),  # a tie at the last place
        ([0, 9, 9, 9, 1, 2], [0, -2, -2, -2, -1, -1], [0, 4, 5]),  # ignored, and too few left
        ([5, 4, 3, 2, 1, 0], [-1, -1, -1, -1, -1, -1], []),  # no positive, no background
        ([5, 4, 3, 2, 1, 0], [0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]),  # no background
        ([-math.inf, 1, 9, 9, 0, 0], [-1, 0, -2, -2, -1, -1], [1, 4, 5]),  # kept, at no loss
    ],
)
def test_mining_takes_the_largest_losses_and_the_lower_index(
    margins: list[float], matched: list[int], kept: list[int]
) -> None:
    logits, deltas, anchors, matches = one_image(margins, matched)
    multibox_loss(logits, deltas, anchors, [torch.tensor([ANCHOR])], matches)[0].backward()
    assert kept_anchors(logits.grad) == {(0, a) for a in kept}


def test_losses_that_round_to_the_same_number_are_still_told_apart() -> None:
    # exp(-40) and exp(-41) vanish beside 1 in float32: both losses are 0.
    logits, deltas, anchors, matched = one_image([0, -41, -40], [0, -1, -1])
    boxes = [torch.tensor([ANCHOR])]
    class_loss, _ = multibox_loss(logits, deltas, anchors, boxes, matched, negative_ratio=1)
    class_loss.backward()
    assert logits.grad[0, 2].abs().sum() > 0
    assert logits.grad[0, 1].abs().sum() == 0


def test_mining_is_per_image() -> None:
    logits, deltas, anchors, matched = one_image([0, 1, 2, 3, 4], [0, -1, -1, -1, -1])
    logits = torch.cat([logits.detach(), logits.detach() + 5]).requires_grad_()
    matched = torch.cat([matched, torch.full_like(matched, -1)])
    boxes = [torch.tensor([ANCHOR]), torch.empty(0, 4)]
    class_loss, _ = multibox_loss(logits, deltas.repeat(2, 1, 1), anchors, boxes, matched)
    class_loss.backward()
    assert kept_anchors(logits.grad) == {(0, 0), (0, 2), (0, 3), (0, 4)}


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


def results_of(
    function,
    logits: Tensor,
    deltas: Tensor,
    *others,
    negative_ratio: float = 3,
) -> tuple[Tensor, ...]:
    """Both losses, and the gradients of logits and deltas."""
    logits, deltas = (t.detach().requires_grad_() for t in (logits, deltas))
    losses = function(logits, deltas, *others, negative_ratio=negative_ratio)
    (losses[0].double() + 4 * losses[1].double()).backward()
    return losses[0].detach(), losses[1].detach(), logits.grad, deltas.grad


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


def kept_by_operator(logits: Tensor, matched: Tensor, negative_ratio: float = 3) -> Tensor:
    """The mask of the kept anchors, of whose number the operator has to be sure."""
    batch, size = matched.shape
    anchors = torch.tensor(ANCHOR).expand(size, 4)
    boxes = torch.tensor(ANCHOR).repeat(batch * 3, 1)
    splits = 3 * torch.arange(batch + 1)
    deltas = torch.zeros(batch, size, 4)
    _, _, kept, counts = OPERATOR(
        logits, deltas, anchors, boxes, splits, matched, negative_ratio, 0.1, 0.2
    )
    assert counts.tolist() == [(kept > 0).sum(), (kept == 2).sum()]
    return kept


@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 511, 512, 513, 1023, 1024, 1025, 2049, 3073])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_the_same_anchors_are_kept_as_by_the_twin(size: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(size)
    matched = torch.randint(-40, 3, (4, size), generator=generator).clamp(min=-2)
    matched[matched == -2] = -1
    matched[0, -1] = 0  # the only positive of an image may be its last anchor
    matched[1] = -1
    matched[2, ::5] = -2
    logits = torch.randn(4, size, 2, generator=generator).to(dtype)
    for values in (logits, (2 * logits).round()):  # rounded ones tie
        for negative_ratio in (0.5, 3, 17):
            kept = kept_by_operator(values, matched, negative_ratio)
            assert torch.equal(kept, mine(values, matched, negative_ratio))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("middle", [-3.0, 1.0, 2.0])
@pytest.mark.parametrize("wanted", [1, 700, 1500, 2998])
def test_margins_that_differ_in_their_last_bits_are_told_apart(
    dtype: torch.dtype, middle: float, wanted: int
) -> None:
    whole = torch.int64 if dtype == torch.float64 else torch.int32
    first = torch.tensor(middle, dtype=dtype).view(whole)
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(wanted))
    margin = (first + order.to(whole) - 1500).view(dtype)  # 3000 neighbours of a number
    logits = torch.stack([torch.zeros_like(margin), margin], dim=1)[None]
    matched = torch.full((1, 3000), -1)
    matched[0, 1234] = 0
    kept = kept_by_operator(logits, matched, wanted)
    assert torch.equal(kept, mine(logits, matched, wanted))
    assert (kept == 1).sum() == wanted


@pytest.mark.parametrize("wanted", [1, 511, 512, 513, 1023, 1024, 1025, 2047, 2048, 2049, 4998])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_equal_losses_the_lower_indices_are_taken_wherever_they_end(
    wanted: int, dtype: torch.dtype
) -> None:
    size = 5000
    logits = torch.zeros(2, size, 2, dtype=dtype)
    logits[:, 100:200, 1] = 1  # always taken, or first
    logits[:, 3000:3010, 1] = -1  # never before the others
    matched = torch.full((2, size), -1)
    matched[0, 4999] = 0
    matched[1, 0] = 1
    for image, kept in enumerate(kept_by_operator(logits, matched, wanted)):
        rank = torch.argsort(-logits[image, :, 1], stable=True)
        rank = rank[matched[image, rank] == -1][:wanted]
        assert torch.equal((kept == 1).nonzero()[:, 0], rank.sort().values)


def test_a_large_batch_keeps_the_same_anchors_as_the_twin() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 66_000, 2, generator=generator).bfloat16()  # of which many tie
    matched = torch.full((8, 66_000), -1)
    matched[torch.rand(matched.shape, generator=generator) < 0.002] = 0
    assert torch.equal(kept_by_operator(logits, matched), mine(logits, matched, 3))


@pytest.mark.parametrize("order", ["rising", "falling", "equal", "random"])
@pytest.mark.parametrize("negative_ratio", [1, 30, 500])
def test_mining_finds_its_threshold_in_any_order(order: str, negative_ratio: float) -> None:
    size = 40_000
    margin = torch.linspace(-3, 3, size)
    margin = {
        "rising": margin,
        "falling": margin.flip(0),
        "equal": torch.zeros(size),
        "random": (100 * margin[torch.randperm(size)]).round(),
    }[order]
    logits = torch.stack([torch.zeros(size), margin], dim=1)[None]
    matched = torch.full((1, size), -1)
    matched[0, ::700] = 0
    others = torch.zeros(1, size, 4), torch.tensor([ANCHOR] * size), [torch.tensor([ANCHOR])]
    ours, expected = (
        results_of(f, logits, *others, matched, negative_ratio=negative_ratio)
        for f in (multibox_loss, reference.multibox_loss)
    )
    assert kept_anchors(ours[2]) == kept_anchors(expected[2])
    torch.testing.assert_close(ours, expected)


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
    return logits, deltas, anchors, *_joined(boxes, anchors, dtype), matched, 3.0, 0.1, 0.2


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
def test_devices_without_a_kernel_run_the_twin(dtype: torch.dtype) -> None:
    elsewhere = torch.DispatchKey.CompositeExplicitAutograd
    arguments = operator_arguments(dtype)
    torch.testing.assert_close(OPERATOR._op_dk(elsewhere, *arguments), OPERATOR(*arguments))
    arguments = backward_arguments(dtype)
    torch.testing.assert_close(BACKWARD._op_dk(elsewhere, *arguments), BACKWARD(*arguments))


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
