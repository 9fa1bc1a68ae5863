"""Two-stage matching: the rule of the paper, replayed anchor by anchor."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import AnchorGrid, match_anchors, reference
from s3fd.ops.reference._iou import pairwise_iou, sides_and_areas

BACKGROUND, IGNORED = -1, -2

f32 = np.float32


def degenerate(box: list[float]) -> bool:
    x1, y1, x2, y2 = box
    return not all(map(math.isfinite, box)) or x2 <= x1 or y2 <= y1 or not 0 < area(box) < math.inf


def shared_area(a: list[float], b: list[float]) -> np.float32:
    if degenerate(a) or degenerate(b):
        return f32(0)
    width = f32(min(a[2], b[2])) - f32(max(a[0], b[0]))
    height = f32(min(a[3], b[3])) - f32(max(a[1], b[1]))
    return width * height if width > 0 and height > 0 else f32(0)


def area(box: list[float]) -> np.float32:
    with np.errstate(all="ignore"):
        return (f32(box[2]) - f32(box[0])) * (f32(box[3]) - f32(box[1]))


def iou(a: list[float], b: list[float]) -> float:
    inter = shared_area(a, b)
    return float(inter / (area(a) + area(b) - inter)) if inter > 0 else 0.0


def hides(region: list[float], anchor: list[float]) -> bool:
    half = f32(0.5) * area(anchor)
    return not degenerate(anchor) and bool(shared_area(anchor, region) >= half)


def replay(
    anchors: list[list[float]],
    boxes: list[list[float]],
    ignore: list[list[float]],
    positive_iou: float,
    candidate_iou: float,
    top_n: int | None,
    keep_best: bool,
) -> list[int]:
    """The rule of the docstring, said once more with loops; candidates are visited in order."""
    matched = [BACKGROUND] * len(anchors)
    overlap = [[iou(anchor, box) for anchor in anchors] for box in boxes]

    for a in range(len(anchors)):
        for g in range(len(boxes)):
            enough = overlap[g][a] > 0 and overlap[g][a] >= positive_iou
            if enough and (matched[a] < 0 or overlap[g][a] > overlap[matched[a]][a]):
                matched[a] = g
    if keep_best:
        claims: dict[int, int] = {}
        for g in range(len(boxes)):
            best = None
            for a in range(len(anchors)):
                if overlap[g][a] > 0 and (best is None or overlap[g][a] > overlap[g][best]):
                    best = a
            if best is None:
                continue
            if best not in claims or overlap[g][best] > overlap[claims[best]][best]:
                claims[best] = g
        for a, g in claims.items():
            matched[a] = g

    stage1 = list(matched)
    if boxes:
        n = max(1, sum(g >= 0 for g in stage1) // len(boxes)) if top_n is None else top_n
        for g in range(len(boxes)):
            if stage1.count(g) >= n:
                continue
            candidates = [a for a in range(len(anchors)) if overlap[g][a] > candidate_iou]
            candidates.sort(key=lambda a: (-overlap[g][a], a))
            for a in candidates[:n]:
                free = stage1[a] == BACKGROUND
                if free and (matched[a] < 0 or overlap[g][a] > overlap[matched[a]][a]):
                    matched[a] = g

    for a in range(len(anchors)):
        for region in ignore:
            if matched[a] == BACKGROUND and hides(region, anchors[a]):
                matched[a] = IGNORED
    return matched


def tensor(boxes: list[list[float]]) -> Tensor:
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


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
thresholds = st.sampled_from([0.0, 0.1, 0.2, 0.25, 1 / 3, 0.35, 0.5, 0.6, 1.0])
options = st.fixed_dictionaries(
    {
        "positive_iou": thresholds,
        "candidate_iou": thresholds,
        "top_n": st.one_of(st.none(), st.integers(0, 12)),
        "keep_best": st.booleans(),
    }
)


@given(
    anchors=st.lists(any_box, max_size=10),
    images=st.lists(
        st.tuples(st.lists(any_box, max_size=8), st.lists(any_box, max_size=2)), max_size=2
    ),
    options=options,
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


STRIDES = st.sampled_from([1, 3, 4, 8, 16])
SIDES = st.one_of(st.integers(1, 40), st.floats(0.5, 50))
GRIDS = st.integers(1, 3).flatmap(
    lambda levels: st.builds(
        AnchorGrid,
        strides=st.tuples(*[STRIDES] * levels),
        sizes=st.tuples(
            *[st.lists(st.one_of(SIDES, st.tuples(SIDES, SIDES)), min_size=1, max_size=3)] * levels
        ),
        offset=st.sampled_from([0.5, 0.0, 0.3, -2.0]),
    )
)
RANGES = ["integers", "fractions", "far", "thin", "equal", "not finite"]


def boxes_of_kind(kind: str, count: int, generator: torch.Generator) -> Tensor:
    corner = torch.randint(-4, 40, (count, 2), generator=generator)
    extent = torch.randint(0, 40, (count, 2), generator=generator)
    boxes = torch.cat([corner, corner + extent], dim=1).float()
    noise = torch.rand(count, 4, generator=generator)
    if kind == "fractions":
        boxes += noise * 8
    elif kind == "far":
        boxes += torch.tensor([-1.0, -1, 1, 1]) * 10 ** (noise * 12)
    elif kind == "thin":
        boxes[:, 2] = boxes[:, 0] + 1
        boxes[:, 1] -= 1e6
    elif kind == "equal":
        boxes = boxes[:1].repeat(count, 1)
    elif kind == "not finite":
        boxes[noise < 0.2] = math.nan
        boxes[noise > 0.9] = math.inf
    return boxes


@given(
    grid=GRIDS,
    feature_sizes=st.tuples(*[st.tuples(st.integers(0, 12), st.integers(0, 12))] * 3),
    kinds=st.lists(st.sampled_from(RANGES), max_size=3),
    options=options,
    seed=st.integers(0, 2**32 - 1),
)
def test_list_and_grid_give_what_the_twin_gives(
    grid: AnchorGrid, feature_sizes, kinds, options, seed: int
) -> None:
    sizes = feature_sizes[: grid.num_levels]
    generator = torch.Generator().manual_seed(seed)
    boxes = [boxes_of_kind(kind, 12, generator) for kind in kinds]
    ignore = [boxes_of_kind(kind, 2, generator) for kind in kinds]
    anchors = grid.anchors(sizes)
    expected = reference.match_anchors(anchors, boxes, ignore=ignore, **options)
    assert torch.equal(match_anchors(anchors, boxes, ignore=ignore, **options), expected)
    assert torch.equal(grid.match(sizes, boxes, ignore=ignore, **options), expected)


def test_a_crowd_on_the_grid_of_the_paper_gives_what_the_twin_gives() -> None:
    grid = AnchorGrid.s3fd()
    sizes = grid.feature_sizes((320, 384))
    generator = torch.Generator().manual_seed(0)
    centre = torch.rand(8, 150, 2, generator=generator) * 384
    half = 2 ** (1 + 6 * torch.rand(8, 150, 1, generator=generator))
    boxes = list(torch.cat([centre - half, centre + half * 1.2], dim=2))
    expected = reference.match_anchors(grid.anchors(sizes), boxes)
    assert torch.equal(grid.match(sizes, boxes), expected)
    assert torch.equal(match_anchors(grid.anchors(sizes), boxes), expected)


def random_boxes(count: int, extent: float, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * extent
    side = 2 ** (1 + 5 * torch.rand(count, 2, generator=generator))
    return torch.cat([corner, corner + side], dim=1)


EDGES = [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1025, 8191, 8193, 8256]


@pytest.mark.parametrize("count", EDGES)
def test_lists_of_all_lengths_give_what_the_twin_gives(count: int) -> None:
    extent = 12 * count**0.5
    anchors, boxes = random_boxes(count, extent), [random_boxes(9, extent, seed=1)]
    boxes[0][7] = anchors[-1]  # the last anchor, and one that is half as high, have their own box
    boxes[0][8] = anchors[count // 2] * torch.tensor([1, 1, 1, 0.5])
    ignore = [anchors[-1:] + 1]
    for options in ({"top_n": None}, {"top_n": 40, "candidate_iou": 0.02}, {"keep_best": False}):
        matched = match_anchors(anchors, boxes, ignore=ignore, **options)
        expected = reference.match_anchors(anchors, boxes, ignore=ignore, **options)
        assert torch.equal(matched, expected)


@pytest.mark.parametrize("images", [1, 2, 128, 129, 257])
def test_boxes_find_their_image_among_many_and_empty_ones(images: int) -> None:
    grid, sizes = AnchorGrid(strides=(8,), sizes=(12,)), [(3, 4)]
    counts = [(7 * i * i + i // 3) % 5 % 3 for i in range(images)]
    rows = random_boxes(sum(counts), 24)
    boxes, regions = list(rows.split(counts)), list((rows + 2).split(counts))[::-1]
    regions = [r[: len(r) // 2] for r in regions]
    expected = reference.match_anchors(grid.anchors(sizes), boxes, ignore=regions)
    assert torch.equal(grid.match(sizes, boxes, ignore=regions), expected)
    assert torch.equal(match_anchors(grid.anchors(sizes), boxes, ignore=regions), expected)


@pytest.mark.parametrize("top_n", [1, 2, 127, 128, 129, 255, 256, 257, 399, 400, 401, 2**62])
def test_of_many_equal_overlaps_the_lowest_anchors_are_taken(top_n: int) -> None:
    grid, sizes = AnchorGrid(strides=(4,), sizes=(4,)), [(20, 30)]
    boxes = [tensor([[20, 0, 120, 64]])]  # of its 400 whole cells, 16 rows of 25
    options = {"positive_iou": 1.0, "candidate_iou": 0.0, "top_n": top_n}
    expected = torch.full((20, 30), BACKGROUND)
    expected[:16, 5:] = torch.arange(400).view(16, 25).lt(top_n).long() - 1
    for matched in (
        grid.match(sizes, boxes, **options),
        match_anchors(grid.anchors(sizes), boxes, **options),
    ):
        assert torch.equal(matched.view(20, 30), expected)


@pytest.mark.parametrize("top_n", [1, 6, 40, 200, 600])
def test_of_many_unequal_overlaps_the_largest_are_taken(top_n: int) -> None:
    anchors = random_boxes(700, 40)
    box = torch.tensor([[8.0, 8.0, 31.0, 33.0]])
    options = {"positive_iou": 1.0, "candidate_iou": 0.001, "top_n": top_n, "keep_best": False}
    matched = match_anchors(anchors, [box], **options)[0]
    overlap = torch.tensor([iou(anchor, box[0].tolist()) for anchor in anchors.tolist()])
    best = overlap.sort(descending=True, stable=True).indices[:top_n]
    assert matched.ge(0).sum() == min(top_n, (overlap > 0.001).sum())
    assert set(matched.ge(0).nonzero()[:, 0].tolist()) <= set(best.tolist())


def test_boxes_compete_for_every_anchor() -> None:
    grid, sizes = AnchorGrid(strides=(4, 8), sizes=(8, (16, (8, 16)))), [(8, 8), (4, 4)]
    boxes = [random_boxes(150, 28), random_boxes(3, 28).repeat(50, 1), random_boxes(40, 28, seed=2)]
    for options in ({}, {"top_n": 9}, {"positive_iou": 0.0}, {"positive_iou": 0.7, "top_n": 30}):
        expected = reference.match_anchors(grid.anchors(sizes), boxes, **options)
        assert torch.equal(grid.match(sizes, boxes, **options), expected)
        assert torch.equal(match_anchors(grid.anchors(sizes), boxes, **options), expected)


@pytest.mark.parametrize("columns", [16_350, 16_400])
@pytest.mark.parametrize("sides", [(8.0, 2**-8), (2**-9, 8.25), (8.1, 9.7)])
def test_boxes_reach_all_anchors_far_from_the_origin(columns: int, sides: tuple) -> None:
    """Beyond some size, and for some shapes, float doesn't hold what an anchor is made of."""
    grid, sizes = AnchorGrid(strides=(4,), sizes=((sides,),)), [(1, columns)]
    anchors = grid.anchors(sizes)
    centre = anchors[-9, :2] + anchors[-9, 2:]
    half = torch.tensor(
        [[3, 3], [9, 0.5], [1 / 256, 1 / 512], [1 / 128, 1 / 64], [2e6, 4], [3e4, 4]]
    )
    boxes = torch.cat([centre / 2 - half, centre / 2 + half], dim=1)
    overlaps = pairwise_iou(sides_and_areas(anchors), sides_and_areas(boxes))
    for box, overlap in zip(boxes, overlaps, strict=True):
        thresholds = overlap[overlap > 0].unique().tolist()
        for threshold in thresholds[:1] + thresholds[-1:]:
            options = {"positive_iou": threshold, "keep_best": False, "top_n": 0}
            matched = grid.match(sizes, [box[None]], **options)[0]
            assert torch.equal(matched >= 0, overlap.double() >= threshold)


@pytest.mark.parametrize("shapes", [95, 96])
def test_cells_may_have_many_shapes(shapes: int) -> None:
    sides = tuple((4 + i % 12, 4 + i // 8) for i in range(shapes - 1))
    grid, sizes = AnchorGrid(strides=(4, 16), sizes=(sides, 16)), [(4, 4), (1, 1)]
    boxes = [random_boxes(6, 14)]
    expected = reference.match_anchors(grid.anchors(sizes), boxes)
    assert torch.equal(grid.match(sizes, boxes), expected)


def test_anchors_may_lie_anywhere_in_memory() -> None:
    anchors, boxes = random_boxes(70, 60), [random_boxes(5, 60, seed=1)]
    moved = torch.empty(281)[1:].view(70, 4).copy_(anchors)
    assert torch.equal(match_anchors(moved, boxes), match_anchors(anchors, boxes))


def operator_arguments() -> tuple[tuple, tuple]:
    grid, sizes = AnchorGrid(strides=(4, 8), sizes=(8, (16, (8, 24)))), [(4, 4), (2, 2)]
    packed = (
        tensor([[0, 0, 8, 8], [3, 3, 9, 12], [1, 2, 15, 14]]),
        torch.tensor([0, 2, 3]),
        tensor([[8, 8, 16, 16]]),
        torch.tensor([0, 0, 1]),
    )
    chosen = (0.35, 0.1, -1, True)
    description = grid.operator_arguments(sizes)
    return (grid.anchors(sizes), *packed, *chosen), (*packed, *description, *chosen)


@pytest.mark.parametrize("which", [0, 1])
def test_opcheck(which: int) -> None:
    operator = [torch.ops.s3fd.match_anchors, torch.ops.s3fd.match_grid][which].default
    torch.library.opcheck(operator, operator_arguments()[which])


@pytest.mark.parametrize("which", [0, 1])
def test_devices_without_a_kernel_run_the_twin(which: int) -> None:
    operator = [torch.ops.s3fd.match_anchors, torch.ops.s3fd.match_grid][which].default
    arguments = operator_arguments()[which]
    elsewhere = torch.DispatchKey.CompositeExplicitAutograd
    assert torch.equal(operator._op_dk(elsewhere, *arguments), operator(*arguments))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_matches_as_the_cpu_does_and_waits_for_nothing() -> None:
    grid = AnchorGrid.s3fd()
    sizes = grid.feature_sizes((320, 384))
    generator = torch.Generator().manual_seed(0)
    boxes = [boxes_of_kind(kind, 40, generator) * 8 for kind in RANGES]
    ignore = [boxes_of_kind("integers", 3, generator) * 8 for _ in RANGES]
    anchors, on_cuda = grid.anchors(sizes).cuda(), [[b.cuda() for b in t] for t in (boxes, ignore)]
    torch.cuda.set_sync_debug_mode("error")
    try:
        by_grid = grid.match(sizes, on_cuda[0], ignore=on_cuda[1])
        by_list = match_anchors(anchors, on_cuda[0], ignore=on_cuda[1])
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = grid.match(sizes, boxes, ignore=ignore)
    assert torch.equal(by_grid.cpu(), expected)
    assert torch.equal(by_list.cpu(), expected)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("which", [0, 1])
def test_cuda_graphs_replay_matching_on_other_boxes(which: int) -> None:
    operator = [torch.ops.s3fd.match_anchors, torch.ops.s3fd.match_grid][which].default
    arguments = operator_arguments()[which]
    on_cuda = [a.cuda() if isinstance(a, Tensor) else a for a in arguments]
    operator(*on_cuda)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        matched = operator(*on_cuda)
    boxes = 1 - which
    for moved in (arguments[boxes], arguments[boxes] + 3):
        on_cuda[boxes].copy_(moved)
        graph.replay()
        expected = operator(*arguments[:boxes], moved, *arguments[boxes + 1 :])
        assert torch.equal(matched.cpu(), expected)


@pytest.mark.parametrize(
    ("position", "value"),
    [
        (0, torch.zeros(3, 5)),
        (0, torch.zeros(3, 4, dtype=torch.float64)),
        (1, torch.zeros(4, 3).T),
        (2, torch.tensor([0, 9, 3])),
        (2, torch.tensor([0, 2, 4])),
        (2, torch.tensor([1, 2, 3])),
        (2, torch.tensor([0, 2, 3], dtype=torch.int32)),
        (4, torch.tensor([0, 1])),
    ],
)
def test_the_kernel_itself_refuses_what_it_could_not_read(position: int, value: Tensor) -> None:
    arguments = list(operator_arguments()[0])
    arguments[position] = value
    with pytest.raises(RuntimeError, match="s3fd::match"):
        torch.ops.s3fd.match_anchors(*arguments)
