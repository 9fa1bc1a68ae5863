"""Two-stage matching: the rule of the paper, replayed anchor by anchor."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matching_cases import (
    BACKGROUND,
    IGNORED,
    OPTIONS,
    f32,
    hides,
    replay,
    tensor,
)

from s3fd.ops import AnchorGrid, match_anchors

# Small integers: many equal overlaps, equal boxes, empty and inside-out boxes.
coordinate = st.integers(0, 8).map(float)
box = st.tuples(coordinate, coordinate, st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)
odd_coordinate = st.one_of(
    coordinate, st.sampled_from([math.nan, math.inf, -math.inf, 3e38, 1e-30])
)
odd_box = st.lists(odd_coordinate, min_size=4, max_size=4)
any_box = st.one_of(box, box, box, odd_box)


@given(
    anchors=st.lists(any_box, max_size=10),
    images=st.lists(
        st.tuples(st.lists(any_box, max_size=8), st.lists(any_box, max_size=2)), max_size=2
    ),
    options=OPTIONS,
)
def test_every_anchor_gets_what_the_rule_says(anchors, images, options) -> None:
    matched = match_anchors(
        tensor(anchors),
        [tensor(boxes) for boxes, _ in images],
        ignore=[tensor(ignore) for _, ignore in images],
        **options,
    )
    assert matched.dtype == torch.int64
    assert matched.shape == (len(images), len(anchors))
    for row, (boxes, ignore) in zip(matched.tolist(), images, strict=True):
        assert row == replay(anchors, boxes, ignore, **options)


@pytest.mark.parametrize("strides", [(4, 8, 16), ((4, 8), (16, 8), 16)])
@pytest.mark.parametrize("seed", range(20))
def test_every_anchor_of_a_pyramid_gets_what_the_rule_says(seed: int, strides: tuple) -> None:
    grid = AnchorGrid(strides, sizes=(8, (16, (12, 24)), 32))
    sizes = grid.feature_sizes((32, 32))
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(-4, 32, (2, 9, 2), generator=generator)
    extent = torch.randint(1, 24, (2, 9, 2), generator=generator)
    boxes = list(torch.cat([corner, corner + extent], dim=2).float())
    ignore = [boxes[1][:2], boxes[0][:3]]
    anchors = grid.anchors(sizes)
    for top_n in (None, 2, 6):
        matched = match_anchors(anchors, boxes, top_n=top_n, ignore=ignore)
        for i in range(2):
            lists = (t.tolist() for t in (anchors, boxes[i], ignore[i]))
            assert matched[i].tolist() == replay(*lists, 0.35, 0.1, top_n, True)
        assert torch.equal(grid.match(sizes, boxes, top_n=top_n, ignore=ignore), matched)


def test_stage_1_takes_the_threshold_and_stage_2_what_is_above_its_own() -> None:
    anchors = tensor([[0, 0, 2, 1], [0, 0, 4, 1]])  # IoU 1/2 and 1/4 with the box
    boxes = [tensor([[0, 0, 1, 1]])]
    keep = {"keep_best": False, "top_n": 2}
    assert match_anchors(anchors, boxes, positive_iou=0.5, candidate_iou=1, **keep).tolist() == [
        [0, -1]
    ]
    assert match_anchors(anchors, boxes, positive_iou=1, candidate_iou=0.25, **keep).tolist() == [
        [0, -1]
    ]
    assert match_anchors(anchors, boxes, positive_iou=1, candidate_iou=0.24, **keep).tolist() == [
        [0, 0]
    ]


def test_thresholds_are_compared_in_double() -> None:
    anchors, boxes = tensor([[0, 0, 20, 1]]), [tensor([[0, 0, 7, 1]])]
    assert float(f32(7) / f32(20)) < 0.35
    assert match_anchors(anchors, boxes, keep_best=False, top_n=0).item() == BACKGROUND
    assert (
        match_anchors(
            anchors, boxes, positive_iou=float(f32(0.35)), keep_best=False, top_n=0
        ).item()
        == 0
    )


def test_candidates_are_compared_in_double() -> None:
    anchors, boxes = tensor([[0, 0, 10, 1]]), [tensor([[0, 0, 1, 1]])]
    nearest = float(f32(1) / f32(10))
    assert nearest > 0.1
    options = {"keep_best": False, "top_n": 1}
    assert match_anchors(anchors, boxes, candidate_iou=0.1, **options).item() == 0
    assert match_anchors(anchors, boxes, candidate_iou=nearest, **options).item() == BACKGROUND


def test_equal_overlaps_go_to_the_lower_box_and_the_lower_anchor() -> None:
    anchors = tensor([[0, 0, 4, 4], [0, 0, 4, 4], [4, 0, 8, 4]])
    boxes = [tensor([[0, 0, 4, 4], [0, 0, 4, 4], [2, 0, 6, 4]])]
    # Box 2 overlaps anchors 0, 1 and 2 alike, so it claims anchor 0, where box 0 has more.
    assert match_anchors(anchors, boxes, top_n=0).tolist() == [[0, 0, -1]]
    # Its two best, in stage 2, are anchors 0 and 1: both are taken.
    assert match_anchors(anchors, boxes, top_n=2).tolist() == [[0, 0, -1]]
    assert match_anchors(anchors, boxes, top_n=3).tolist() == [[0, 0, 2]]


def test_a_box_keeps_its_best_anchor_whatever_the_overlap() -> None:
    anchors, boxes = tensor([[0, 0, 16, 16]]), [tensor([[2, 2, 3, 3]])]
    assert match_anchors(anchors, boxes).item() == 0
    assert match_anchors(anchors, boxes, keep_best=False).item() == BACKGROUND


def test_the_claim_of_a_box_on_its_best_anchor_goes_before_the_threshold() -> None:
    anchors = tensor([[0, 0, 4, 4], [0, 0, 4, 5]])
    boxes = [tensor([[0, 0, 4, 5], [0, 0, 2, 2]])]
    # Anchor 0 overlaps box 0 by 0.8 and box 1 by 0.25, but it is the best that box 1 has.
    assert match_anchors(anchors, boxes, top_n=0).tolist() == [[1, 0]]


def test_the_mean_counts_all_boxes_of_the_image_and_is_rounded_down() -> None:
    anchors = tensor([[0, 0, 4, 4]] * 5 + [[10, 0, 14, 4], [11, 0, 15, 4], [12, 0, 16, 4]])
    small = [10, 0, 12, 4]
    missing = [0, 0, 0, 0]
    # Five anchors and one: N = 3, and the small box takes its second and third best.
    two = [tensor([[0, 0, 4, 4], small])]
    assert match_anchors(anchors, two, positive_iou=0.9).tolist() == [[0] * 5 + [1, 1, -1]]
    # Whatever hides the anchors, those that are matched count.
    crowd = [tensor([[0, 0, 20, 8]])]
    matched = match_anchors(anchors, two, positive_iou=0.9, ignore=crowd)
    assert matched.tolist() == [[0] * 5 + [1, 1, -2]]
    # With a degenerate box it is N = 2, with three of them N = 1.
    three = [tensor([[0, 0, 4, 4], small, missing])]
    assert match_anchors(anchors, three, positive_iou=0.9).tolist() == [[0] * 5 + [1, 1, -1]]
    five = [tensor([[0, 0, 4, 4], small, missing, missing, missing])]
    assert match_anchors(anchors, five, positive_iou=0.9).tolist() == [[0] * 5 + [1, -1, -1]]


def test_stage_2_takes_no_anchor_from_stage_1_and_looks_no_further_for_it() -> None:
    anchors = tensor([[0, 0, 4, 4], [0, 0, 4, 8]])
    boxes = [tensor([[0, 0, 4, 4], [0, 0, 4, 3]])]
    # Box 1 has both among its two best, but anchor 0 belongs to box 0 since stage 1.
    assert match_anchors(anchors, boxes, positive_iou=0.9, top_n=2).tolist() == [[0, 0]]
    assert match_anchors(anchors, boxes, positive_iou=0.9, top_n=1).tolist() == [[0, -1]]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(4))
def test_boxes_and_anchors_without_a_proper_size_match_nothing(bad: float, place: int) -> None:
    odd = [0.0, 0.0, 8.0, 8.0]
    odd[place] = bad
    good = tensor([[0, 0, 8, 8]])
    assert match_anchors(good, [tensor([odd])]).item() == BACKGROUND
    assert match_anchors(tensor([odd]), [good], ignore=[good]).item() == BACKGROUND
    assert match_anchors(tensor([odd]), [tensor([odd])], positive_iou=0).item() == BACKGROUND
    assert match_anchors(good, [good[:0]], ignore=[tensor([odd])]).item() == BACKGROUND


@pytest.mark.parametrize(
    "odd", [[0, 0, 0, 8], [8, 8, 0, 0], [0, 0, 3e38, 3e38], [0, 0, 1e-30, 1e-30]]
)
def test_empty_inside_out_and_boundless_boxes_match_nothing(odd: list[float]) -> None:
    good = tensor([[0, 0, 8, 8]])
    matched = match_anchors(good, [tensor([odd, *good.tolist()])], positive_iou=0)
    assert matched.item() == 1
    assert match_anchors(tensor([odd]), [tensor([odd])], positive_iou=0).item() == BACKGROUND


def test_an_anchor_half_inside_one_ignore_box_is_ignored_unless_it_is_matched() -> None:
    anchors = tensor([[0, 0, 4, 4], [4, 0, 8, 4], [8, 0, 12, 4], [12, 0, 16, 4]])
    boxes = [tensor([[0, 0, 4, 4]])]
    crowd = [tensor([[0, 0, 10, 4], [12, 0, 13, 4], [15, 0, 16, 4]])]
    # Anchor 3 lies half in two ignore boxes together, and in neither of them.
    assert match_anchors(anchors, boxes, ignore=crowd).tolist() == [[0, -2, -2, -1]]
    assert match_anchors(anchors, [boxes[0][:0]], ignore=crowd).tolist() == [[-2, -2, -2, -1]]


def test_a_crowd_hides_all_anchors_within_it() -> None:
    grid = AnchorGrid(strides=(4, 8, 16), sizes=(8, (16, (12, 24)), 32))
    sizes = grid.feature_sizes((96, 128))
    anchors, nothing = grid.anchors(sizes), tensor([])
    crowds = [tensor([[-99, -99, 999, 999]]), tensor([[8, 16, 100, 80], [120, 90, 121, 91]])]
    hidden = torch.stack([torch.ones(len(anchors), dtype=torch.bool)] * 2)
    hidden[1] = torch.tensor([hides(crowds[1][0].tolist(), a) for a in anchors.tolist()])
    for matched in (
        grid.match(sizes, [nothing, nothing], ignore=crowds),
        match_anchors(anchors, [nothing, nothing], ignore=crowds),
    ):
        assert torch.equal(matched, torch.where(hidden, IGNORED, BACKGROUND))


def test_no_images_no_anchors_and_no_boxes() -> None:
    anchors, none = tensor([[0, 0, 4, 4]]), tensor([])
    assert match_anchors(anchors, []).shape == (0, 1)
    assert match_anchors(none, []).shape == (0, 0)
    assert match_anchors(none, [anchors, none], ignore=[anchors, none]).shape == (2, 0)
    assert match_anchors(anchors, [none, anchors, none]).tolist() == [[-1], [0], [-1]]


def test_top_n_may_exceed_the_anchors() -> None:
    anchors = tensor([[0, 0, 4, 4], [0, 0, 4, 6]])
    assert match_anchors(anchors, [anchors[:1]], positive_iou=0.9, top_n=99).tolist() == [[0, 0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_and_layouts_give_the_same(dtype: torch.dtype) -> None:
    grid = AnchorGrid.s3fd()
    anchors = grid.anchors(grid.feature_sizes((64, 64)))
    boxes = tensor([[3, 5, 20, 30], [40, 8, 60, 31], [0, 0, 50, 60]])
    expected = match_anchors(anchors, [boxes])
    assert torch.equal(match_anchors(anchors.to(dtype), [boxes.to(dtype)]), expected)
    assert torch.equal(match_anchors(anchors.T.contiguous().T, [boxes.T.contiguous().T]), expected)


def test_no_gradient_flows_and_the_arguments_stay_as_they_are() -> None:
    anchors = tensor([[0, 0, 4, 4], [0, 0, 4, 6]]).requires_grad_()
    boxes = [tensor([[0, 0, 4, 4], [math.nan, 0, 1, 1]]).requires_grad_()]
    before = anchors.detach().clone(), boxes[0].detach().clone()
    assert not match_anchors(anchors, boxes, ignore=boxes).requires_grad
    assert torch.equal(anchors, before[0])
    assert torch.equal(boxes[0].nan_to_num(), before[1].nan_to_num())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"anchors": [[0.0, 0, 1, 1]]}, TypeError, "anchors: expected a floating-point tensor"),
        ({"anchors": torch.zeros(3, 5)}, ValueError, r"anchors: .*\[3, 5\]"),
        ({"boxes": torch.zeros(2, 4)}, TypeError, "boxes: expected a list"),
        ({"boxes": [torch.zeros(4)]}, ValueError, r"boxes\[0\]"),
        ({"boxes": [torch.zeros(1, 4, dtype=torch.int64)]}, TypeError, r"boxes\[0\].*float"),
        ({"boxes": [torch.zeros(1, 4, device="meta")]}, ValueError, r"boxes\[0\]: .* on cpu"),
        ({"ignore": []}, ValueError, "ignore: .* 1 images, got 0"),
        ({"positive_iou": 1.5}, ValueError, r"positive_iou: .* \[0, 1\], got 1.5"),
        ({"positive_iou": math.nan}, ValueError, "positive_iou"),
        ({"candidate_iou": -0.1}, ValueError, "candidate_iou"),
        ({"candidate_iou": "0.1"}, TypeError, "candidate_iou"),
        ({"top_n": -1}, ValueError, "top_n: expected an integer >= 0"),
        ({"top_n": 2.0}, TypeError, "top_n"),
    ],
)
def test_bad_arguments_are_named(change, error: type[Exception], text: str) -> None:
    arguments = {"anchors": torch.zeros(3, 4), "boxes": [torch.zeros(1, 4)]} | change
    with pytest.raises(error, match=text):
        match_anchors(**arguments)
