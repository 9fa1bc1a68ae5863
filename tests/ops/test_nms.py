"""Non-maximum suppression: the greedy rule replayed, and the answers of torchvision."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st
from nms_cases import (
    DTYPES,
    KINDS,
    LARGE,
    THRESHOLDS,
    clustered,
    in_a_line,
    integers,
    make,
    mixed,
    replay,
    sets,
)
from torch import Tensor

from s3fd.ops import batched_nms, nms, reference

OPERATOR = torch.ops.s3fd.nms.default
PADDED = torch.ops.s3fd.nms_padded.default
BATCHED = torch.ops.s3fd.batched_nms.default


@given(sets, st.sampled_from(THRESHOLDS))
def test_few_boxes_follow_the_greedy_rule(
    boxes_and_scores: tuple[Tensor, Tensor], iou_threshold: float
) -> None:
    expected = replay(*boxes_and_scores, iou_threshold)
    assert nms(*boxes_and_scores, iou_threshold).tolist() == expected
    assert reference.nms(*boxes_and_scores, iou_threshold).tolist() == expected


@pytest.mark.parametrize("iou_threshold", THRESHOLDS)
@pytest.mark.parametrize("kind", [*KINDS, mixed])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_boxes_follow_the_greedy_rule(
    kind: Callable[[int], Tensor], iou_threshold: float, dtype: torch.dtype
) -> None:
    boxes, scores = make(kind, LARGE, dtype=dtype)
    assert nms(boxes, scores, iou_threshold).tolist() == replay(boxes, scores, iou_threshold)


@pytest.mark.parametrize("kind", [*KINDS, mixed])
def test_indices_are_torchvisions(kind: Callable[[int], Tensor]) -> None:
    torchvision = pytest.importorskip("torchvision", reason="compares with torchvision")
    for iou_threshold, n in itertools.product(THRESHOLDS, (3, 100, 2000)):
        boxes, scores = make(kind, n, seed=n)
        expected = torchvision.ops.nms(boxes, scores, iou_threshold)
        assert torch.equal(nms(boxes, scores, iou_threshold), expected)


def test_the_lower_index_of_equal_scores_stays() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [0.0, 0, 10, 10]])
    assert nms(boxes, torch.ones(3), 0.5).tolist() == [0]
    assert nms(boxes, torch.tensor([0.0, -0.0, 0.0]), 0.5).tolist() == [0]
    assert nms(boxes, torch.tensor([1.0, 2.0, 2.0]), 0.5).tolist() == [1]


def test_an_iou_equal_to_the_threshold_does_not_suppress() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 1], [0.0, 0, 1, 1]])  # IoU 1/2
    scores = torch.tensor([2.0, 1.0])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, math.nextafter(0.5, 0)).tolist() == [0]


def test_the_threshold_is_compared_as_a_double() -> None:
    boxes = torch.tensor([[0.0, 0, 3, 1], [0.0, 0, 1, 1]])  # IoU 1/3, above 1/3 in float32
    scores = torch.tensor([2.0, 1.0])
    assert nms(boxes, scores, 1 / 3).tolist() == [0]
    assert nms(boxes.double(), scores.double(), 1 / 3).tolist() == [0, 1]
    assert nms(boxes, scores, float(np.float32(1 / 3))).tolist() == [0, 1]


def test_a_suppressed_box_suppresses_nothing() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [4.0, 0, 14, 10], [8.0, 0, 18, 10]])
    assert nms(boxes, torch.tensor([3.0, 2.0, 1.0]), 0.3).tolist() == [0, 2]


@pytest.mark.parametrize(
    "box",
    [
        (5, 5, 5, 9),  # no width
        (5, 5, 5, 5),  # a point
        (9, 5, 5, 9),  # inside out
        (9, 9, 5, 5),  # twice, so that its area is positive
        (math.nan, 0, 9, 9),
        (0, 0, math.inf, 9),
        (-math.inf, 0, math.inf, 9),
        (-3e38, -3e38, 3e38, 3e38),  # an infinite area
        (0, 0, 1e-30, 1e-30),  # an area of 0
    ],
)
@pytest.mark.parametrize("iou_threshold", [0.0, 0.5])
def test_degenerate_boxes_overlap_nothing(box: tuple[float, ...], iou_threshold: float) -> None:
    boxes = torch.tensor([box, (0, 0, 10, 10), box, (0, 0, 10, 10)], dtype=torch.float32)
    assert nms(boxes, torch.tensor([4.0, 3, 2, 1]), iou_threshold).tolist() == [0, 1, 2]
    assert nms(boxes, torch.tensor([1.0, 4, 2, 3]), iou_threshold).tolist() == [1, 2, 0]
    many = boxes.repeat(LARGE, 1)
    scores = torch.arange(len(many)).float()
    assert len(nms(many, scores, iou_threshold)) == 2 * LARGE + 1


def test_scores_sort_as_torch_sorts_them() -> None:
    boxes = torch.arange(6.0)[:, None] * 100 + torch.tensor([0.0, 0, 1, 1])
    scores = torch.tensor([-math.inf, 0.0, math.nan, math.inf, -0.0, -math.nan])
    assert nms(boxes, scores, 0.5).tolist() == [2, 5, 3, 1, 4, 0]
    many = scores.repeat(LARGE)
    expected = many.argsort(descending=True, stable=True)
    assert torch.equal(nms(many[:, None].expand(-1, 4), many, 0.5), expected)
    assert torch.equal(nms(many[:, None].expand(-1, 4), many.double(), 0.5), expected)


@pytest.mark.parametrize("function", [nms, reference.nms])
def test_no_boxes_give_no_indices(function: Callable[..., Tensor]) -> None:
    kept = function(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == torch.int64


def test_one_box_stays() -> None:
    assert nms(torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([math.nan]), 0.0).tolist() == [0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    boxes, scores = make(clustered, LARGE, dtype=dtype)
    wide = torch.promote_types(dtype, torch.float32)
    kept = nms(boxes, scores, 0.5)
    assert torch.equal(kept, nms(boxes.to(wide), scores.to(wide), 0.5))
    assert torch.equal(kept, reference.nms(boxes, scores, 0.5))


def test_the_dtype_of_scores_does_not_matter_to_overlaps() -> None:
    boxes, scores = make(integers, LARGE)
    expected = nms(boxes, scores, 1 / 3)
    assert torch.equal(nms(boxes, scores.double(), 1 / 3), expected)
    assert torch.equal(reference.nms(boxes, scores.double(), 1 / 3), expected)


def test_strided_boxes_are_read_as_they_are() -> None:
    boxes, scores = make(clustered, LARGE)
    padded = torch.full((2 * LARGE, 9), math.nan)
    sliced, many_scores = padded[::2, 1::2], scores.repeat_interleave(2)[::2]
    sliced.copy_(boxes)
    expected = nms(boxes, scores, 0.5)
    assert torch.equal(nms(sliced, many_scores, 0.5), expected)
    assert torch.equal(nms(boxes.T.contiguous().T, scores, 0.5), expected)
    same = boxes[:1].expand(LARGE, 4)
    assert nms(same, scores, 0.5).tolist() == [int(scores.argmax())]


@pytest.mark.parametrize("iou_threshold", [0.0, 0.5, 0.99])
def test_two_hundred_thousand_boxes(many: int, iou_threshold: float) -> None:
    n = many
    scores = torch.rand(n, generator=torch.Generator().manual_seed(0))
    order = scores.argsort(descending=True, stable=True)
    one = torch.tensor([[0.0, 0, 10, 10]])
    assert torch.equal(nms(one.expand(n, 4), scores, iou_threshold), order[:1])
    column = torch.arange(n)[:, None] * torch.tensor([0.0, 10, 0, 10]) + one
    assert torch.equal(nms(column, scores, iou_threshold), order)
    pairs = column[torch.arange(n) // 2 * 2]  # every box twice
    best = scores.view(-1, 2).argmax(dim=1) + torch.arange(0, n, 2)
    assert torch.equal(nms(pairs, scores, iou_threshold).sort().values, best)


# About the edges of words, warps, blocks and tiles of a GPU.
EDGES = [1, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 2047, 2048, 2049, 4096, 4097]


@pytest.mark.parametrize("n", EDGES)
@pytest.mark.parametrize("kind", [mixed, clustered, in_a_line])
def test_sizes_about_edges_follow_the_greedy_rule(kind: Callable[[int], Tensor], n: int) -> None:
    boxes, scores = make(kind, n, seed=n)
    assert nms(boxes, scores, 0.3).tolist() == replay(boxes, scores, 0.3)


@pytest.mark.parametrize("n", [64, 65, 1024, 1025, 2500])
def test_boxes_in_a_row_suppress_every_other_one(n: int) -> None:
    """Each depends on the one before: the longest chain of decisions there is."""
    x = torch.arange(n)[:, None] * torch.tensor([4.0, 0, 4, 0])
    boxes = x + torch.tensor([0.0, 0, 10, 10])  # IoU of neighbours 6 / 14
    scores = torch.linspace(1, 0, n)
    assert nms(boxes, scores, 0.4).tolist() == list(range(0, n, 2))
    assert nms(boxes.flip(0), scores, 0.4).tolist() == list(range(0, n, 2))


@pytest.mark.parametrize("distance", [32, 64, 100, 1000, 1024, 1500])
@pytest.mark.parametrize("n", [3000, 9000])
def test_a_box_suppresses_the_one_like_it_however_far_behind(n: int, distance: int) -> None:
    corner = torch.arange(n) // (2 * distance) * distance + torch.arange(n) % distance
    boxes = torch.stack([corner % 97, corner // 97, corner % 97 + 1, corner // 97 + 1], dim=1) * 9.0
    expected = (torch.arange(n) // distance % 2 == 0).nonzero()[:, 0]
    assert torch.equal(nms(boxes, torch.linspace(1, 0, n), 0.5), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2049, 4097, 9000])
def test_equal_scores_keep_their_order_in_long_lists(n: int, dtype: torch.dtype) -> None:
    boxes = torch.arange(float(n))[:, None] * 2 + torch.tensor([0.0, 0, 1, 1])
    scores = (torch.arange(n) % 3).to(dtype)
    expected = scores.argsort(descending=True, stable=True)
    assert torch.equal(nms(boxes, scores, 0.5), expected)


def test_scores_in_double_are_told_apart_in_double() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10]]).expand(5000, 4)
    scores = 1 + torch.arange(5000).double() % 1009 * 1e-12
    assert nms(boxes, scores, 0.5).tolist() == [1008]


@pytest.mark.parametrize("n", [0, 1, 33, 1500])
@pytest.mark.parametrize("keep", [None, 1, 64, 65, 1024, 1030, 5000])
def test_padded_indices_are_the_first_ones_and_then_minus_one(n: int, keep: int | None) -> None:
    boxes, scores = make(mixed, n, seed=n)
    rows = n if keep is None else keep
    expected = replay(boxes, scores, 0.5)[:rows]
    for indices, count in (
        nms(boxes, scores, 0.5, padded=True, keep=keep),
        reference.nms_padded(boxes, scores, 0.5, rows),
    ):
        assert indices.shape == (rows,)
        assert indices.dtype == count.dtype == torch.int64
        assert count.shape == ()
        assert count == len(expected)
        assert indices[:count].tolist() == expected
        assert (indices[count:] == -1).all()
    for function in (nms, reference.nms):
        assert function(boxes, scores, 0.5, keep=keep).tolist() == expected


@pytest.mark.parametrize("function", [nms, batched_nms])
@pytest.mark.parametrize("count", [3, 2000])
def test_groups_and_places_do_not_mix(function: Callable[..., Tensor], count: int) -> None:
    """Groups whose numbers agree in their lower bits, boxes of many sizes in many places."""
    boxes, scores = make(mixed, 9000)
    groups = torch.arange(9000) % count * 2**40 - 2**45 if function is batched_nms else None
    kept = function(boxes, scores, *(() if groups is None else (groups,)), 0.4)
    members = [torch.arange(9000)] if groups is None else [
        (groups == group).nonzero()[:, 0] for group in groups.unique()
    ]  # fmt: skip
    expected = torch.zeros(9000, dtype=torch.bool)
    for member in members:
        expected[member[replay(boxes[member], scores[member], 0.4)]] = True
    order = scores.argsort(descending=True, stable=True)
    assert torch.equal(kept, order[expected[order]])


@pytest.mark.parametrize("n", [0, 5, LARGE])
def test_opcheck(n: int) -> None:
    boxes, scores = make(clustered, n)
    torch.library.opcheck(OPERATOR, (boxes, scores, 0.5))
    torch.library.opcheck(OPERATOR, (boxes.requires_grad_(), scores, 0.5))
    for keep in (0, 3, n):
        torch.library.opcheck(PADDED, (boxes.detach(), scores, 0.5, keep))
    torch.library.opcheck(BATCHED, (boxes.detach(), scores, torch.arange(n) % 3, 0.5))


def test_indices_have_no_gradient() -> None:
    boxes, scores = make(clustered, 20)
    kept = nms(boxes.requires_grad_(), scores.requires_grad_(), 0.5)
    assert not kept.requires_grad
    boxes[kept].sum().backward()
    assert boxes.grad is not None


def test_autocast_changes_nothing() -> None:
    boxes, scores = make(clustered, LARGE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nms(boxes, scores, 0.5), nms(boxes.clone(), scores, 0.5))
        half = boxes.bfloat16()
        assert torch.equal(nms(half, scores, 0.5), reference.nms(half.float(), scores, 0.5))


def test_compiles_into_one_graph_for_any_size() -> None:
    def best(boxes: Tensor, scores: Tensor) -> Tensor:
        return boxes[nms(boxes, scores, 0.5)] * 2

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(best, fullgraph=True, dynamic=True, backend="aot_eager")
        for n in (7, 30):
            boxes, scores = make(clustered, n)
            assert torch.equal(compiled(boxes, scores), best(boxes, scores))


def test_devices_without_a_kernel_run_that_of_the_cpu() -> None:
    boxes, scores = make(clustered, LARGE)
    groups = torch.arange(LARGE) % 3
    assert torch.equal(run_elsewhere(OPERATOR, boxes, scores, 0.5), nms(boxes, scores, 0.5))
    for result, expected in zip(
        run_elsewhere(PADDED, boxes, scores, 0.5, 9), PADDED(boxes, scores, 0.5, 9), strict=True
    ):
        assert torch.equal(result, expected)
    assert torch.equal(
        run_elsewhere(BATCHED, boxes, scores, groups, 0.5),
        batched_nms(boxes, scores, groups, 0.5),
    )


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_indices_of_the_cpu() -> None:
    boxes, scores = make(mixed, LARGE)
    assert torch.equal(nms(boxes.cuda(), scores.cuda(), 0.5).cpu(), nms(boxes, scores, 0.5))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_padded_indices_are_captured_in_a_cuda_graph() -> None:
    boxes, scores = (part.cuda() for part in make(mixed, 9000))
    nms(boxes, scores, 0.5, padded=True)  # what is loaded at a first call is no part of a graph
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        indices, count = nms(boxes, scores, 0.5, padded=True)
    others = make(mixed, 9000, seed=1)
    boxes.copy_(others[0])
    scores.copy_(others[1])
    graph.replay()
    assert torch.equal(indices[:count].cpu(), nms(*others, 0.5))


BOXES, SCORES = torch.zeros(3, 4), torch.zeros(3)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (([[0.0, 0, 1, 1]], SCORES, 0.5), TypeError, "boxes: expected a floating-point tensor"),
        ((BOXES.bool(), SCORES, 0.5), TypeError, r"boxes: .*bool \[3, 4\]"),
        ((BOXES, SCORES.cfloat(), 0.5), TypeError, r"scores: .*complex64 \[3\]"),
        ((BOXES.long() - 2**53, SCORES, 0.5), ValueError, r"boxes: .*less than 2\^53"),
        ((BOXES, SCORES.long() + 2**60, 0.5), ValueError, r"scores: .*less than 2\^53"),
        ((torch.zeros(3, 5), SCORES, 0.5), ValueError, r"boxes: .*\[N, 4\]"),
        ((torch.zeros(4), SCORES, 0.5), ValueError, r"boxes: .*\[N, 4\]"),
        ((BOXES, torch.zeros(3, 1), 0.5), ValueError, r"scores: .*\[3\]"),
        ((BOXES, torch.zeros(2), 0.5), ValueError, r"scores: .*\[3\]"),
        ((BOXES, SCORES.to("meta"), 0.5), ValueError, "scores: .*on cpu"),
        ((BOXES, SCORES, "0.5"), TypeError, "iou_threshold"),
        ((BOXES, SCORES, 1.5), ValueError, r"iou_threshold: .*\[0, 1\]"),
        ((BOXES, SCORES, -0.1), ValueError, r"iou_threshold: .*\[0, 1\]"),
        ((BOXES, SCORES, math.nan), ValueError, r"iou_threshold: .*\[0, 1\]"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        nms(*arguments)
    boxes, scores, iou_threshold = arguments
    with pytest.raises(error, match=text):
        batched_nms(boxes, scores, torch.zeros(3, dtype=torch.int64), iou_threshold)


@pytest.mark.parametrize(
    ("boxes", "scores"), [((4,), (3,)), ((3, 5), (3,)), ((3, 4), (3, 2)), ((3, 4), (4,))]
)
def test_a_wrong_shape_is_caught_by_who_expects_torchvisions_error(
    boxes: tuple[int, ...], scores: tuple[int, ...]
) -> None:
    with pytest.raises(RuntimeError, match="expected a floating-point tensor"):
        nms(torch.rand(boxes), torch.rand(scores), 0.5)


@pytest.mark.parametrize("n", [0, 1, LARGE])
@pytest.mark.parametrize("keep", [1, 7, 10**12, 10**19])
def test_keep_gives_the_first_indices(n: int, keep: int) -> None:
    boxes, scores = make(clustered, n)
    assert torch.equal(nms(boxes, scores, 0.5, keep=keep), nms(boxes, scores, 0.5)[:keep])


def test_meta_tensors_are_refused_for_their_unknown_number_of_boxes() -> None:
    meta = BOXES.to("meta"), SCORES.to("meta")
    with pytest.raises(RuntimeError, match=r"s3fd::nms.*meta"):
        nms(*meta, 0.5)
    with pytest.raises(RuntimeError):
        nms(*meta, 0.5, keep=1)
    assert nms(*meta, 0.5, padded=True)[0].shape == (3,)


@pytest.mark.parametrize("keep", [2**31, 10**19])
def test_more_rows_than_can_be_made_are_refused(keep: int) -> None:
    with pytest.raises(ValueError, match=r"keep: expected an integer below 2\^31 with padded=True"):
        nms(BOXES, SCORES, 0.5, padded=True, keep=keep)


def test_the_kernels_themselves_refuse_what_they_could_not_read() -> None:
    with pytest.raises(RuntimeError, match="s3fd::nms"):
        OPERATOR(torch.zeros(3, 3), SCORES, 0.5)
    with pytest.raises(RuntimeError, match="s3fd::nms"):
        OPERATOR(BOXES, torch.zeros(2), 0.5)
    with pytest.raises(RuntimeError, match="floating-point"):
        OPERATOR(BOXES.long(), SCORES, 0.5)
    with pytest.raises(RuntimeError, match="s3fd::batched_nms"):
        BATCHED(BOXES, SCORES, torch.zeros(2, dtype=torch.int64), 0.5)
