"""Which backgrounds the multi-box loss keeps."""

import math

import pytest
import torch
from loss_cases import ANCHOR, kept_anchors, one_image, results_of
from torch import Tensor

from s3fd.ops import multibox_loss, reference
from s3fd.ops.reference.multibox_loss import mine

OPERATOR = torch.ops.s3fd.multibox_loss.default


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


def kept_by_operator(logits: Tensor, matched: Tensor, negative_ratio: float = 3) -> Tensor:
    """The mask of the kept anchors, of whose number the operator has to be sure."""
    batch, size = matched.shape
    anchors = torch.tensor(ANCHOR).expand(size, 4)
    boxes = torch.tensor(ANCHOR).repeat(batch * 3, 1)
    splits = [3 * image for image in range(batch + 1)]
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
