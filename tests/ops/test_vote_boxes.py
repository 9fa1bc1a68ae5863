"""Box voting: the authors' rule, replayed box by box in exact fractions."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import reference, vote_boxes

Box = tuple[int, int, int, int]


def iou(a: Box, b: Box) -> Fraction:
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    if any(box[2] <= box[0] or box[3] <= box[1] for box in (a, b)):
        return Fraction(0)
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return Fraction(width * height, sum(areas) - width * height)


def replay(
    boxes: list[Box], eighths: list[int], iou_threshold: Fraction, keep_single: bool
) -> list[tuple[list[float], float]]:
    """Takes the best, merges what overlaps it, goes on with the rest."""
    tiny = Fraction(1, 10**9)  # no merge without overlap, even at a threshold of 0
    rest = list(range(len(boxes)))
    merged = []
    while rest:
        best = max(rest, key=lambda i: (eighths[i], -i))
        group = [
            i for i in rest if i == best or iou(boxes[best], boxes[i]) >= max(iou_threshold, tiny)
        ]
        rest = [i for i in rest if i not in group]
        weight = sum(eighths[i] for i in group)
        if len(group) == 1 and not keep_single:
            continue
        mean = [
            float(Fraction(sum(eighths[i] * boxes[i][side] for i in group), weight))
            if weight
            else float(boxes[best][side])
            for side in range(4)
        ]
        merged.append((mean, eighths[best] / 8))
    return merged


def tensor(boxes: list[Box]) -> Tensor:
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


coordinate = st.integers(0, 8)
proper = st.tuples(coordinate, coordinate, st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
any_box = st.one_of(proper, proper, st.tuples(*[coordinate] * 4))


@given(
    scored=st.lists(st.tuples(any_box, st.integers(0, 4)), max_size=12),
    iou_threshold=st.sampled_from([0, 1, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]),
    keep_single=st.booleans(),
)
def test_the_best_box_takes_all_that_overlap_it(scored, iou_threshold, keep_single) -> None:
    boxes, eighths = [box for box, _ in scored], [score for _, score in scored]
    merged, scores = vote_boxes(
        tensor(boxes),
        torch.tensor(eighths) / 8,
        float(iou_threshold),
        keep_single=keep_single,
    )
    expected = replay(boxes, eighths, Fraction(iou_threshold), keep_single)
    assert torch.equal(merged, torch.tensor([box for box, _ in expected]).reshape(-1, 4))
    assert scores.tolist() == [score for _, score in expected]


def test_the_mean_is_weighted_by_the_scores() -> None:
    boxes = tensor([(0, 0, 12, 8), (0, 0, 8, 8)])
    merged, scores = vote_boxes(boxes, torch.tensor([0.25, 0.75]), 0.3)
    assert merged.tolist() == [[0, 0, 9, 8]]
    assert scores.tolist() == [0.75]


def test_boxes_join_the_best_box_and_not_the_mean_or_each_other() -> None:
    chain = tensor([(0, 0, 8, 8), (4, 0, 12, 8), (8, 0, 16, 8)])
    merged, _ = vote_boxes(chain, torch.tensor([0.9, 0.8, 0.7]), 0.3)
    assert len(merged) == 2
    assert merged[1].tolist() == chain[2].tolist()


def test_the_threshold_itself_is_enough_and_is_compared_in_double() -> None:
    boxes, scores = tensor([(0, 0, 2, 1), (0, 0, 1, 1)]), torch.tensor([0.5, 0.5])
    assert len(vote_boxes(boxes, scores, 0.5)[0]) == 1
    boxes = tensor([(0, 0, 20, 1), (0, 0, 7, 1)])  # 7 / 20 is below 0.35 in float32
    assert len(vote_boxes(boxes, scores, 0.35)[0]) == 2


def test_of_equal_scores_the_lower_index_comes_first() -> None:
    boxes = tensor([(4, 0, 12, 8), (0, 0, 8, 8), (8, 0, 16, 8)])
    merged, _ = vote_boxes(boxes, torch.ones(3), 0.3)
    assert merged.tolist() == [[4, 0, 12, 8]]
    merged, _ = vote_boxes(boxes[[1, 0, 2]], torch.ones(3), 0.3)
    assert merged.tolist() == [[2, 0, 10, 8], [8, 0, 16, 8]]


def test_single_boxes_stay_as_they_are_or_go() -> None:
    boxes = torch.tensor([[0.1, 0.2, 0.7, 0.9], [5, 5, 6, 6]])
    scores = torch.tensor([0.3, 0.1])
    merged = vote_boxes(boxes, scores, 0.3)
    assert torch.equal(merged[0], boxes)
    assert torch.equal(merged[1], scores)
    assert [len(part) for part in vote_boxes(boxes, scores, 0.3, keep_single=False)] == [0, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("iou_threshold", [0, 0.3, 1])
def test_degenerate_boxes_stay_alone(bad: float, iou_threshold: float) -> None:
    boxes = torch.tensor([[0, 0, 8, 8], [0, 0, 8, bad], [0, 0, 8, bad], [4, 4, 4, 8]])
    scores = torch.tensor([0.5, 0.6, 0.4, 0.3])
    merged, found = vote_boxes(boxes, scores, iou_threshold)
    assert torch.equal(found, scores[[1, 0, 2, 3]])
    assert torch.equal(merged.nan_to_num(), boxes[[1, 0, 2, 3]].nan_to_num())


def test_boxes_that_do_not_overlap_are_not_merged_at_a_threshold_of_0() -> None:
    boxes = tensor([(0, 0, 8, 8), (8, 0, 16, 8), (7, 7, 9, 9)])
    merged, _ = vote_boxes(boxes, torch.tensor([0.9, 0.8, 0.0]), 0)
    assert merged.tolist() == [[0, 0, 8, 8], [8, 0, 16, 8]]


def test_scores_of_zero_leave_the_first_box() -> None:
    merged, scores = vote_boxes(tensor([(0, 0, 8, 8), (0, 0, 8, 7)]), torch.zeros(2), 0.3)
    assert merged.tolist() == [[0, 0, 8, 8]]
    assert scores.tolist() == [0]


def test_nothing_in_gives_nothing_out() -> None:
    boxes, scores = vote_boxes(torch.zeros(0, 4), torch.zeros(0), 0.3)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes_stay_and_means_are_rounded_once(dtype: torch.dtype) -> None:
    boxes = tensor([(0, 0, 12, 8), (0, 0, 8, 8), (50, 50, 60, 60)]).to(dtype)
    merged, scores = vote_boxes(boxes, torch.tensor([0.25, 0.75, 0.5], dtype=dtype), 0.3)
    assert merged.dtype == scores.dtype == dtype
    assert merged.tolist() == [[0, 0, 9, 8], [50, 50, 60, 60]]


def test_many_copies_of_a_box_give_that_box() -> None:
    box = torch.rand(1, 4) + torch.tensor([0, 0, 10, 10])
    merged, scores = vote_boxes(box.repeat(5000, 1), torch.rand(5000), 0.3)
    assert torch.equal(merged, box)
    assert len(scores) == 1


def test_no_gradient_flows() -> None:
    boxes, scores = tensor([(0, 0, 8, 8)]).requires_grad_(), torch.ones(1, requires_grad=True)
    assert not any(part.requires_grad for part in vote_boxes(boxes, scores, 0.3))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"boxes": [[0.0, 0, 1, 1]]}, TypeError, "boxes: expected a floating-point tensor"),
        ({"boxes": torch.zeros(2, 5)}, ValueError, r"boxes: .*\[2, 5\]"),
        ({"scores": torch.zeros(3)}, ValueError, r"scores: .*\[3\]"),
        ({"scores": torch.zeros(2, device="meta")}, ValueError, "scores: .* on cpu"),
        ({"scores": torch.tensor([0.5, -0.5])}, ValueError, "scores: .* negative"),
        ({"scores": torch.tensor([0.5, math.nan])}, ValueError, "scores: .* NaN"),
        ({"scores": torch.tensor([0.5, math.inf])}, ValueError, "scores: .* infinite"),
        ({"iou_threshold": 1.5}, ValueError, "iou_threshold"),
        ({"iou_threshold": None}, TypeError, "iou_threshold"),
    ],
)
def test_bad_arguments_are_named(change, error: type[Exception], text: str) -> None:
    arguments = {"boxes": torch.zeros(2, 4), "scores": torch.zeros(2), "iou_threshold": 0.3}
    with pytest.raises(error, match=text):
        vote_boxes(**(arguments | change))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
@pytest.mark.parametrize("seed", range(4))
def test_ties_are_decided_as_the_twin_decides_them(seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int, *sizes: int) -> Tensor:
        return torch.randint(low, high, sizes, generator=generator)

    for _ in range(40):
        number, spread = int(integers(0, 12, 1)) ** 2 * 4, int(integers(2, 60, 1))
        corner, size = integers(0, spread, number, 2), integers(-1, spread, number, 2)
        boxes = torch.cat([corner, corner + size], dim=1).to(dtype)
        scores = (integers(0, 4, number) / 4).to(dtype)
        threshold = float(integers(0, 7, 1)) / 6
        keep_single = bool(integers(0, 2, 1))
        found = vote_boxes(boxes, scores, threshold, keep_single=keep_single)
        wanted = reference.vote_boxes(boxes, scores, threshold, keep_single=keep_single)
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])


def test_many_equal_boxes_become_one_and_many_apart_stay(many: int) -> None:
    equal = torch.tensor([[0.0, 0, 8, 8]]).expand(many, 4)
    boxes, _ = vote_boxes(equal, torch.ones(many), 0.3)
    assert boxes.tolist() == [[0, 0, 8, 8]]
    apart = equal + torch.arange(many)[:, None] * 8
    assert len(vote_boxes(apart, torch.rand(many), 0.3)[0]) == many


@pytest.mark.parametrize("number", [1, 33, 257, 1023, 1024, 1025, 2049, 4097, 9000])
@pytest.mark.parametrize("keep_single", [True, False])
def test_members_are_added_up_in_the_order_of_their_scores(number: int, keep_single: bool) -> None:
    """Groups of all sizes, large ones over all tiles; another order would round otherwise."""
    generator = torch.Generator().manual_seed(number)
    place = torch.rand(number, 1, generator=generator).square() * 40
    corner = place.floor() * 30 + torch.rand(number, 2, generator=generator).double() / 3
    boxes = torch.cat([corner, corner + 9 + torch.rand(number, 2, generator=generator)], dim=1)
    scores = torch.rand(number, generator=generator, dtype=torch.float64)
    found = vote_boxes(boxes, scores, 0.3, keep_single=keep_single)
    wanted = reference.vote_boxes(boxes, scores, 0.3, keep_single=keep_single)
    assert torch.equal(found[0], wanted[0])
    assert torch.equal(found[1], wanted[1])


def test_strides_and_opcheck() -> None:
    boxes = torch.rand(4, 20).T * 20
    scores = torch.rand(20, 3)[:, 1]
    found = vote_boxes(boxes, scores, 0.3)
    wanted = vote_boxes(boxes.contiguous(), scores.contiguous(), 0.3)
    assert torch.equal(found[0], wanted[0])
    torch.library.opcheck(torch.ops.s3fd.vote_boxes, (boxes, scores, 0.3, True))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("number", [50, 9000])
def test_cuda_merges_as_the_cpu_does(number: int) -> None:
    generator = torch.Generator().manual_seed(0)
    corner = torch.rand(number, 2, generator=generator) * 300
    boxes = torch.cat([corner, corner + 20], dim=1)
    scores = torch.rand(number, generator=generator)
    found = vote_boxes(boxes.cuda(), scores.cuda(), 0.3)
    for result, expected in zip(found, vote_boxes(boxes, scores, 0.3), strict=True):
        assert torch.equal(result.cpu(), expected)


def test_meta_tensors_are_refused_for_their_unknown_number_of_boxes() -> None:
    with pytest.raises(RuntimeError, match=r"s3fd::vote_boxes.*meta"):
        vote_boxes(torch.empty(3, 4, device="meta"), torch.empty(3, device="meta"), 0.5)


@pytest.mark.parametrize("bad", [-1e-30, math.nan, math.inf])
@pytest.mark.parametrize(("size", "place"), [(1, 0), (33, 32), (1025, 0), (1025, 1024)])
def test_one_score_that_is_no_weight_is_found_wherever_it_is(bad, size, place):
    boxes = torch.tensor([0.0, 0, 8, 8]).repeat(size, 1)
    scores = torch.linspace(1, 0, size)
    scores[place] = bad
    with pytest.raises(ValueError, match="scores: expected finite numbers >= 0"):
        vote_boxes(boxes, scores, 0.5)
    scores[place] = 0
    assert len(vote_boxes(boxes, scores, 0.5)[1]) == 1
