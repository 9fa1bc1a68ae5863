"""Matching of lists and grids of all kinds: what the twin says, and how it is called."""

import math

import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st
from matching_cases import (
    BACKGROUND,
    OPTIONS,
    iou,
    tensor,
)
from torch import Tensor

from s3fd.ops import AnchorGrid, match_anchors, reference
from s3fd.ops.reference._iou import pairwise_iou, sides_and_areas

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
    options=OPTIONS,
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
        [0, 2, 3],
        tensor([[8, 8, 16, 16]]),
        [0, 0, 1],
    )
    chosen = (0.35, 0.1, -1, True)
    description = grid.operator_arguments(sizes)
    return (grid.anchors(sizes), *packed, *chosen), (*packed, *description, *chosen)


@pytest.mark.parametrize("which", [0, 1])
def test_opcheck(which: int) -> None:
    operator = [torch.ops.s3fd.match_anchors, torch.ops.s3fd.match_grid][which].default
    torch.library.opcheck(operator, operator_arguments()[which])


@pytest.mark.parametrize("which", [0, 1])
def test_devices_without_a_kernel_run_that_of_the_cpu(which: int) -> None:
    operator = [torch.ops.s3fd.match_anchors, torch.ops.s3fd.match_grid][which].default
    arguments = operator_arguments()[which]
    assert torch.equal(run_elsewhere(operator, *arguments), operator(*arguments))


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
        (2, [0, 9, 3]),
        (2, [0, 2, 4]),
        (2, [1, 2, 3]),
        (2, []),
        (4, [0, 1]),
    ],
)
def test_the_kernel_itself_refuses_what_it_could_not_read(
    position: int, value: Tensor | list[int]
) -> None:
    arguments = list(operator_arguments()[0])
    arguments[position] = value
    with pytest.raises(RuntimeError, match="s3fd::match"):
        torch.ops.s3fd.match_anchors(*arguments)
