"""Non-maximum suppression: the greedy rule, and torchvision's answers."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import batched_nms, nms, reference

OPERATOR = torch.ops.s3fd.nms.default
BATCHED = torch.ops.s3fd.batched_nms.default
IMPLEMENTATIONS = [nms, reference.nms]
THRESHOLDS = [0.0, 0.1, 0.3, 0.5, 0.7, 0.95, 1.0]

# Integer corners in either order and few scores: ties, nested, empty and inside-out boxes.
small_boxes = st.lists(st.tuples(*[st.integers(0, 6)] * 4, st.integers(0, 3)), max_size=12).map(
    lambda rows: torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_boxes(count: int, seed: int = 0, *, spread: float = 100, size: float = 40) -> Tensor:
    corner = torch.rand(count, 2, generator=generator(seed)) * spread
    side = torch.rand(count, 2, generator=generator(seed + 1)) * size
    return torch.cat([corner, corner + side], dim=1)


def random_scores(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=generator(seed))


def iou(a: list[float], b: list[float]) -> float:
    """In exact arithmetic of small integers; 0 for degenerate boxes."""
    if not (a[0] < a[2] and a[1] < a[3] and b[0] < b[2] and b[1] < b[3]):
        return 0
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    inter = width * height
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def greedy(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    """The rule, word for word."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        # The threshold is met in float32, as the operator's IoU is.
        overlaps = (torch.tensor(iou(boxes[i], boxes[k])).item() for k in kept)
        if not any(overlap > threshold for overlap in overlaps):
            kept.append(i)
    return kept


@pytest.mark.parametrize("function", IMPLEMENTATIONS)
@given(small_boxes, st.sampled_from(THRESHOLDS))
def test_the_answer_is_that_of_the_greedy_rule(
    function: Callable[..., Tensor], rows: Tensor, threshold: float
) -> None:
    boxes, scores = rows[:, :4], rows[:, 4]
    assert function(boxes, scores, threshold).tolist() == greedy(
        boxes.tolist(), scores.tolist(), threshold
    )


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from(THRESHOLDS))
def test_the_answer_is_the_twins(seed: int, count: int, threshold: float) -> None:
    boxes = random_boxes(count, seed)
    if seed % 2:
        boxes = boxes.round()
    scores = (random_scores(count, seed) * 8).round()
    assert torch.equal(nms(boxes, scores, threshold), reference.nms(boxes, scores, threshold))


def extreme(name: str) -> Tensor:
    n = 400
    line = torch.arange(n, dtype=torch.float32)
    zero = torch.zeros(n)
    return {
        "all equal": torch.tensor([[3.0, 4.0, 50.0, 60.0]]).repeat(n, 1),
        "in a line": torch.stack([line, zero, line + 10, zero + 10], 1),
        "one pixel wide": torch.stack([line, zero, line + 1, zero + 1000], 1),
        "thin, crossing": torch.cat(
            [
                torch.stack([line, zero, line + 0.5, zero + 400], 1)[: n // 2],
                torch.stack([zero, line, zero + 400, line + 0.5], 1)[: n // 2],
            ]
        ),
        "a million pixels wide": random_boxes(n, 1, spread=1e6, size=1e6),
        "of all sizes": random_boxes(n, 2) * torch.logspace(-6, 6, n)[:, None],
        "nested": torch.stack([line, line, 1000 - line, 1000 - line], 1),
        "far away": random_boxes(n, 3) + 16_000_000,
        "negative": random_boxes(n, 4) - 1000,
        "tiny": random_boxes(n, 5) * 1e-22,
        "too small for an area": random_boxes(n, 6) * 1e-30,
        "huge": random_boxes(n, 7) * 1e17,
        "too large for an area": random_boxes(n, 8) * 1e36,
    }[name]


EXTREMES = [
    "all equal", "in a line", "one pixel wide", "thin, crossing", "a million pixels wide",
    "of all sizes", "nested", "far away", "negative", "tiny", "too small for an area", "huge",
    "too large for an area",
]  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.6, 0.99])
def test_no_geometry_leads_the_index_astray(
    name: str, threshold: float, dtype: torch.dtype
) -> None:
    boxes = extreme(name).to(dtype)
    scores = random_scores(len(boxes)).to(dtype)
    assert torch.equal(nms(boxes, scores, threshold), reference.nms(boxes, scores, threshold))


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 0.85, 1.0])
def test_the_answer_is_torchvisions(threshold: float) -> None:
    torchvision_ops = pytest.importorskip("torchvision.ops")
    cases = [random_boxes(count, count) for count in (0, 1, 2, 31, 500, 3000)]
    cases += [random_boxes(count, count).round() for count in (50, 1000)]
    cases += [torch.randint(0, 8, (600, 4), generator=generator(1)).float()]  # many inside out
    cases += [extreme(name) for name in EXTREMES]
    for boxes in cases:
        for scores in (random_scores(len(boxes)), (random_scores(len(boxes)) * 5).round()):
            expected = torchvision_ops.nms(boxes, scores, threshold)
            assert torch.equal(nms(boxes, scores, threshold), expected)
            doubles = torchvision_ops.nms(boxes.double(), scores.double(), threshold)
            assert torch.equal(nms(boxes.double(), scores.double(), threshold), doubles)


def test_boxes_that_are_not_finite_are_kept_as_torchvision_keeps_them() -> None:
    torchvision_ops = pytest.importorskip("torchvision.ops")
    boxes = random_boxes(200, spread=20).round()
    values = torch.tensor([math.nan, math.inf, -math.inf])
    where = torch.randint(0, 200 * 4, (60,), generator=generator(3))
    boxes.view(-1)[where] = values[torch.arange(60) % 3]
    scores = random_scores(200)
    scores[::17] = math.nan
    assert torch.equal(nms(boxes, scores, 0.3), torchvision_ops.nms(boxes, scores, 0.3))


@pytest.mark.parametrize("function", IMPLEMENTATIONS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(4))
def test_a_box_that_is_not_finite_neither_suppresses_nor_goes(
    function: Callable[..., Tensor], column: int, value: float
) -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 3)
    boxes[1, column] = value
    assert function(boxes, torch.tensor([0.5, 0.9, 0.7]), 0.3).tolist() == [1, 2]
    assert function(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.3).tolist() == [0, 1]


@pytest.mark.parametrize("function", IMPLEMENTATIONS)
def test_the_lower_index_of_equal_scores_is_kept(function: Callable[..., Tensor]) -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 4)
    assert function(boxes, torch.tensor([0.1, 0.7, 0.7, 0.7]), 0.5).tolist() == [1]
    assert function(boxes, torch.tensor([-0.0, 0.0, 0.0, -0.0]), 0.5).tolist() == [0]


@pytest.mark.parametrize("function", IMPLEMENTATIONS)
def test_an_iou_equal_to_the_threshold_does_not_suppress(function: Callable[..., Tensor]) -> None:
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]])
    scores = torch.tensor([0.9, 0.8])
    assert function(boxes, scores, 0.5).tolist() == [0, 1]
    assert function(boxes, scores, 0.5 - 1e-9).tolist() == [0]


@pytest.mark.parametrize("function", IMPLEMENTATIONS)
def test_nan_scores_go_first_and_infinite_ones_in_order(function: Callable[..., Tensor]) -> None:
    boxes = torch.tensor([[i * 20.0, 0.0, i * 20.0 + 10, 10.0] for i in range(5)])
    scores = torch.tensor([-math.inf, 1.0, math.inf, math.nan, -1.0])
    assert function(boxes, scores, 0.5).tolist() == [3, 2, 1, 4, 0]


@pytest.mark.parametrize("function", IMPLEMENTATIONS)
def test_no_boxes_give_no_indices(function: Callable[..., Tensor]) -> None:
    kept = function(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    boxes, scores = random_boxes(500).to(dtype), random_scores(500).to(dtype)
    assert torch.equal(nms(boxes, scores, 0.4), nms(boxes.float(), scores.float(), 0.4))


def test_boxes_and_scores_of_two_dtypes_meet_in_the_wider_one() -> None:
    boxes, scores = random_boxes(300), random_scores(300).bfloat16()
    assert torch.equal(nms(boxes, scores, 0.4), nms(boxes, scores.float(), 0.4))


def test_any_memory_layout_is_read() -> None:
    boxes, scores = random_boxes(300), random_scores(300)
    expected = nms(boxes, scores, 0.4)
    wide = torch.full((300, 9), math.nan)
    wide[:, 1::2] = boxes
    assert torch.equal(nms(wide[:, 1::2], scores, 0.4), expected)
    assert torch.equal(nms(boxes.T.contiguous().T, scores.repeat_interleave(2)[::2], 0.4), expected)


def test_many_boxes_are_sorted_as_torch_sorts_them() -> None:
    count = 20_000
    boxes = torch.arange(count * 4).reshape(count, 4).float()  # none overlaps another
    for scores in (torch.randn(count, generator=generator(0)), torch.zeros(count)):
        scores[5] = math.nan
        expected = scores.argsort(descending=True, stable=True)
        assert torch.equal(nms(boxes, scores, 0.5), expected)
        assert torch.equal(nms(boxes.double(), scores.double(), 0.5), expected)


@given(small_boxes, st.sampled_from(THRESHOLDS), st.integers(0, 2**32 - 1))
def test_batched_is_each_group_for_itself(rows: Tensor, threshold: float, seed: int) -> None:
    boxes, scores = rows[:, :4], rows[:, 4]
    groups = torch.randint(-2, 2, (len(rows),), generator=generator(seed))
    kept = batched_nms(boxes, scores, groups, threshold).tolist()
    expected = []
    for group in set(groups.tolist()):
        members = [i for i in range(len(rows)) if groups[i] == group]
        own = greedy(boxes[members].tolist(), scores[members].tolist(), threshold)
        expected += [members[i] for i in own]
    assert kept == sorted(expected, key=lambda i: (-scores[i].item(), i))


def test_batched_is_the_twins_with_any_group_numbers() -> None:
    boxes, scores = random_boxes(4000, spread=300), random_scores(4000)
    extremes = torch.tensor([2**63 - 1, -(2**63), 0, -1, 7])
    groups = extremes[torch.randint(0, 5, (4000,), generator=generator(2))]
    assert torch.equal(
        batched_nms(boxes, scores, groups, 0.3), reference.batched_nms(boxes, scores, groups, 0.3)
    )


def test_one_group_is_plain_nms() -> None:
    boxes, scores = random_boxes(1000), random_scores(1000)
    groups = torch.full((1000,), 3)
    assert torch.equal(batched_nms(boxes, scores, groups, 0.3), nms(boxes, scores, 0.3))


def test_gradients_stop_here() -> None:
    boxes = random_boxes(10).requires_grad_()
    scores = random_scores(10).requires_grad_()
    assert not nms(boxes, scores, 0.5).requires_grad


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"boxes": None}, TypeError, "boxes: expected a floating-point tensor"),
        ({"boxes": torch.zeros(3, 5)}, ValueError, r"boxes: expected .* \[N, 4\]"),
        ({"boxes": torch.zeros(3, 4, dtype=torch.int64)}, TypeError, "boxes: .* int64"),
        ({"scores": torch.zeros(4)}, ValueError, r"scores: expected the score of each box, \[3\]"),
        ({"scores": torch.zeros(3, 1)}, ValueError, "scores"),
        ({"scores": torch.zeros(3, device="meta")}, ValueError, "scores: .* on cpu"),
        ({"iou_threshold": 1.5}, ValueError, r"iou_threshold: expected a number in \[0, 1\]"),
        ({"iou_threshold": math.nan}, ValueError, "iou_threshold"),
        ({"iou_threshold": "0.5"}, TypeError, "iou_threshold"),
    ],
)
def test_bad_arguments_are_named(change: dict, error: type[Exception], message: str) -> None:
    good = {"boxes": torch.zeros(3, 4), "scores": torch.zeros(3), "iou_threshold": 0.5}
    with pytest.raises(error, match=message):
        nms(**{**good, **change})


@pytest.mark.parametrize("groups", [torch.zeros(2, dtype=torch.int64), torch.zeros(3), None])
def test_bad_groups_are_named(groups: Tensor | None) -> None:
    with pytest.raises((TypeError, ValueError), match="groups"):
        batched_nms(torch.zeros(3, 4), torch.zeros(3), groups, 0.5)


@pytest.mark.parametrize("count", [0, 1, 20])
def test_opcheck(count: int) -> None:
    boxes, scores = random_boxes(count), random_scores(count)
    torch.library.opcheck(OPERATOR, (boxes, scores, 0.3))
    torch.library.opcheck(BATCHED, (boxes, scores, torch.arange(count) % 3, 0.3))


def test_devices_without_a_kernel_run_the_twin() -> None:
    boxes, scores, groups = random_boxes(50), random_scores(50), torch.arange(50) % 3
    elsewhere = torch._C.DispatchKey.CompositeExplicitAutograd
    assert torch.equal(OPERATOR._op_dk(elsewhere, boxes, scores, 0.3), nms(boxes, scores, 0.3))
    assert torch.equal(
        BATCHED._op_dk(elsewhere, boxes, scores, groups, 0.3),
        batched_nms(boxes, scores, groups, 0.3),
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_keeps_what_the_cpu_keeps() -> None:
    boxes, scores = random_boxes(3000), (random_scores(3000) * 100).round()
    kept = nms(boxes.cuda(), scores.cuda(), 0.4)
    assert torch.equal(kept.cpu(), nms(boxes, scores, 0.4))
