"""From raw head maps to detections: the twin's answer, and what each step promises."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from head_maps import (
    DTYPES,
    GRID16,
    GRID16_OF_THREE,
    GRIDS,
    S3FD_GRID,
    Detections,
    assert_same,
    make_maps,
    one_level,
)
from hypothesis import given
from hypothesis import strategies as st
from layouts import layouts
from torch import Tensor

from s3fd.ops import AnchorGrid, decode_detections, nms, reference


@given(
    st.sampled_from(sorted(GRIDS)),
    st.tuples(st.integers(0, 48), st.integers(0, 48)),
    st.integers(0, 3),
    st.lists(st.integers(1, 4), max_size=2),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.2, 0.5, 0.8, 0.95, 1.0]),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([1, 7, 50, 5000]),
    st.sampled_from([1, 5, 750]),
    st.booleans(),
)
def test_detections_are_the_twins(
    name: str,
    image_size: tuple[int, int],
    batch: int,
    backgrounds: list[int],
    seed: int,
    score_threshold: float,
    iou_threshold: float,
    candidates: int,
    keep: int,
    clipped: bool,
) -> None:
    each = (*backgrounds, 1, 1, 1, 1, 1, 1)[: GRIDS[name].num_levels]
    grid = replace(GRIDS[name], backgrounds=each)
    maps = make_maps(grid, image_size, batch, seed=seed)
    arguments: dict[str, Any] = {
        "score_threshold": score_threshold,
        "iou_threshold": iou_threshold,
        "candidates": candidates,
        "keep": keep,
        "image_sizes": [(image_size[0] // (i + 1), image_size[1]) for i in range(batch)]
        if clipped
        else None,
    }
    expected = reference.decode_detections(*maps, grid, **arguments)
    assert_same(decode_detections(*maps, grid, **arguments), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced", "transposed"])
@pytest.mark.parametrize("name", ["s3fd", "ssd"])
def test_every_layout_and_dtype_gives_the_same_detections(
    name: str, layout: str, dtype: torch.dtype
) -> None:
    grid = GRIDS[name]
    logits, deltas = make_maps(grid, (96, 128), dtype=dtype)
    result = decode_detections(
        [layouts(level)[layout] for level in logits],
        [layouts(level)[layout] for level in deltas],
        grid,
    )
    assert result[2][-1] > 10
    assert_same(result, reference.decode_detections(logits, deltas, grid))


def test_sizes_are_decoded_within_rounding() -> None:
    logits, deltas = make_maps(S3FD_GRID, (128, 128))
    generator = torch.Generator().manual_seed(1)
    deltas = [torch.randn(level.shape, generator=generator) for level in deltas]
    expected = reference.decode_detections(logits, deltas, S3FD_GRID)
    assert_same(decode_detections(logits, deltas, S3FD_GRID), expected, exact=False)


def test_large_maps_are_shared_out_among_threads() -> None:
    maps = make_maps(S3FD_GRID, (640, 512), batch=2)
    arguments: dict[str, Any] = {"score_threshold": 0.9, "image_sizes": [(640, 500), (300, 512)]}
    expected = reference.decode_detections(*maps, S3FD_GRID, **arguments)
    assert_same(decode_detections(*maps, S3FD_GRID, **arguments), expected)


@pytest.mark.parametrize(
    ("candidates", "keep"), [(5, 5), (1023, 1000), (1025, 2000), (4096, 4096), (4097, 750)]
)
def test_candidates_are_the_best_of_all_that_pass(candidates: int, keep: int) -> None:
    """5 461 anchors, all of which pass, with many equal margins."""
    maps = make_maps(S3FD_GRID, (256, 256), batch=2)
    arguments: dict[str, Any] = {
        "score_threshold": 0.0,
        "iou_threshold": 0.1,
        "candidates": candidates,
        "keep": keep,
    }
    expected = reference.decode_detections(*maps, S3FD_GRID, **arguments)
    assert_same(decode_detections(*maps, S3FD_GRID, **arguments), expected)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3])
def test_candidates_are_told_apart_by_the_last_bit_of_their_margin(spread: float) -> None:
    generator = torch.Generator().manual_seed(0)
    face = torch.randn(1, 1, 64, 64, generator=generator) * spread
    logits = torch.cat([torch.zeros_like(face), face], dim=1)
    deltas = torch.zeros(1, 4, 64, 64)
    margins = face.flatten().sort(descending=True).values
    for candidates in (1, 100, 2000, 4095):
        _, scores, _ = decode_detections(
            [logits], [deltas], GRID16, score_threshold=0.0, candidates=candidates, keep=5000
        )
        torch.testing.assert_close(scores, margins[:candidates].sigmoid(), rtol=1e-6, atol=1e-7)


def test_many_images_are_clipped_each_to_its_own_size() -> None:
    logits, deltas = (level.repeat(70, 1, 1, 1) for (level,) in one_level([(0.0, 1)]))
    sizes = [(1 + i % 16, 1 + i // 16) for i in range(70)]
    boxes, _, splits = decode_detections([logits], [deltas], GRID16, image_sizes=sizes)
    assert boxes.tolist() == [[0, 0, width, height] for height, width in sizes]
    assert splits.tolist() == list(range(71))


def test_what_stays_is_what_nms_keeps() -> None:
    """The steps one by one, with the package's own operators."""
    logits, deltas = make_maps(S3FD_GRID, (96, 96), batch=1)
    anchors = S3FD_GRID.anchors(S3FD_GRID.feature_sizes((96, 96)))
    margins, rows = [], []
    for logit, delta in zip(logits, deltas, strict=True):
        cells = logit[0].permute(1, 2, 0).reshape(-1, logit.shape[1])
        margins.append(cells[:, -1] - cells[:, :-1].max(dim=1).values)
        rows.append(delta[0].permute(1, 2, 0).reshape(-1, 4))
    margin, boxes = torch.cat(margins), reference.decode_boxes(torch.cat(rows), anchors)
    passing = (margin >= math.log(0.8 / 0.2)).nonzero()[:, 0]
    kept = passing[nms(boxes[passing], margin[passing], 0.3)]
    result = decode_detections(logits, deltas, S3FD_GRID, score_threshold=0.8)
    splits = torch.tensor([0, len(kept)])
    assert_same(result, (boxes[kept], margin[kept].sigmoid(), splits))


def test_the_score_is_the_softmax_over_the_strongest_background() -> None:
    maps = one_level([(1.0, 3, 2, 4), (0.0, 0, 0, -1)])
    boxes, scores, splits = decode_detections(*maps, GRID16_OF_THREE, score_threshold=0.1)
    expected = torch.tensor([[3.0, 4], [0.0, -1]]).softmax(dim=1)[:, 1]
    torch.testing.assert_close(scores, expected)
    assert boxes.tolist() == [[0, 0, 16, 16], [16, 0, 32, 16]]
    assert splits.tolist() == [0, 2]


def test_a_score_equal_to_the_threshold_passes() -> None:
    maps = one_level([(0.0, 0.0), (0.0, -1e-6)])
    assert len(decode_detections(*maps, GRID16, score_threshold=0.5)[0]) == 1


def test_scores_that_round_to_one_are_still_in_order() -> None:
    boxes, scores, _ = decode_detections(*one_level([(0.0, 40), (0.0, 50), (0.0, 60)]), GRID16)
    assert scores.tolist() == [1, 1, 1]
    assert boxes[:, 0].tolist() == [32, 16, 0]


def test_the_lower_anchor_of_equal_scores_goes_first() -> None:
    maps = one_level([(0.0, 1)] * 40)
    boxes, *_ = decode_detections(*maps, GRID16, candidates=30, keep=20)
    assert boxes[:, 0].tolist() == [16 * i for i in range(20)]


def test_candidates_are_chosen_before_the_suppression_and_kept_ones_after_it() -> None:
    grid = AnchorGrid((4,), (16,))
    maps = one_level([(0.0, 9.0 - i) for i in range(8)])  # IoU of neighbours: 0.6
    boxes, *_ = decode_detections(*maps, grid, iou_threshold=0.5, candidates=3)
    assert boxes[:, 0].tolist() == [-6, 2]
    boxes, *_ = decode_detections(*maps, grid, iou_threshold=0.5, keep=3)
    assert boxes[:, 0].tolist() == [-6, 2, 10]


def test_boxes_are_clipped_and_dropped_if_nothing_is_left() -> None:
    maps = one_level([(0.0, 1), (0.0, 2), (0.0, 3)])
    boxes, *_ = decode_detections(*maps, GRID16, image_sizes=[(10, 20)])
    assert boxes.tolist() == [[16, 0, 20, 10], [0, 0, 16, 10]]
    boxes, *_ = decode_detections(*maps, GRID16, image_sizes=[(10, 20)], candidates=2)
    assert boxes.tolist() == [[16, 0, 20, 10], [0, 0, 16, 10]]
    assert len(decode_detections(*maps, GRID16, image_sizes=[(0, 20)])[0]) == 0


def test_images_of_a_batch_are_clipped_each_to_its_own_size() -> None:
    logits, deltas = (level.repeat(2, 1, 1, 1) for (level,) in one_level([(0.0, 1)]))
    boxes, _, splits = decode_detections([logits], [deltas], GRID16, image_sizes=[(9, 8), (3, 5)])
    assert boxes.tolist() == [[0, 0, 8, 9], [0, 0, 5, 3]]
    assert splits.tolist() == [0, 1, 2]


@pytest.mark.parametrize("score_threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "logits", [(math.nan, 0, 9), (0, math.nan, 9), (0, 0, math.nan), (math.inf, 0, math.inf)]
)
def test_nan_is_never_kept(logits: tuple[float, ...], score_threshold: float) -> None:
    maps, grid = one_level([logits]), replace(GRID16, backgrounds=2)
    for function in (decode_detections, reference.decode_detections):
        assert len(function(*maps, grid, score_threshold=score_threshold)[0]) == 0


def test_infinite_margins_have_scores_of_zero_and_one() -> None:
    maps = one_level([(0.0, -math.inf), (0.0, math.inf)])
    for function in (decode_detections, reference.decode_detections):
        boxes, scores, _ = function(*maps, GRID16, score_threshold=0.0)
        assert scores.tolist() == [1, 0]
        assert boxes[:, 0].tolist() == [16, 0]
        assert function(*maps, GRID16, score_threshold=1.0)[1].tolist() == [1]


@pytest.mark.parametrize("delta", [math.nan, math.inf, -math.inf, 1e4, -1e4])
@pytest.mark.parametrize("image_sizes", [None, [(64, 64)]])
def test_boxes_that_are_not_boxes_are_dropped(delta: float, image_sizes: Any) -> None:
    deltas = torch.zeros(1, 4, 1, 2)
    deltas[0, 2, 0, 0] = delta
    maps = one_level([(0.0, 2), (0.0, 1)], deltas)
    result = decode_detections(*maps, GRID16, image_sizes=image_sizes)
    expected = reference.decode_detections(*maps, GRID16, image_sizes=image_sizes)
    assert_same(result, expected)
    if not (image_sizes and delta > 0):  # clipped to the whole width
        assert result[0].tolist() == [[16, 0, 32, 16]]


@pytest.mark.parametrize(
    ("batch", "image_size", "score_threshold"),
    [(0, (64, 64), 0.0), (2, (0, 64), 0.0), (2, (64, 0), 0.0), (2, (64, 64), 0.999)],
)
def test_nothing_found_gives_no_rows(
    batch: int, image_size: tuple[int, int], score_threshold: float
) -> None:
    maps = make_maps(S3FD_GRID, image_size, batch)
    boxes, scores, splits = decode_detections(*maps, S3FD_GRID, score_threshold=score_threshold)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert splits.tolist() == [0] * (batch + 1)


def test_detections_have_no_gradient() -> None:
    logits, deltas = make_maps(S3FD_GRID, (64, 64))
    for level in (*logits, *deltas):
        level.requires_grad_()
    assert not any(part.requires_grad for part in decode_detections(logits, deltas, S3FD_GRID))


def test_autocast_changes_nothing() -> None:
    logits, deltas = make_maps(S3FD_GRID, (64, 64), dtype=torch.bfloat16)
    expected = decode_detections(logits, deltas, S3FD_GRID)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_same(decode_detections(logits, deltas, S3FD_GRID), expected)


def test_compiles_into_one_graph_for_any_size() -> None:
    grid = GRIDS["corner"]

    def detect(logits: list[Tensor], deltas: list[Tensor]) -> Detections:
        boxes, scores, splits = decode_detections(logits, deltas, grid)
        return boxes * 2, scores, splits

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(detect, fullgraph=True, dynamic=True, backend="aot_eager")
        for image_size in ((64, 96), (128, 64)):
            maps = make_maps(grid, image_size)
            assert_same(compiled(*maps), detect(*maps))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_finds_what_the_cpu_finds() -> None:
    logits, deltas = make_maps(S3FD_GRID, (64, 64))
    result = decode_detections(
        [level.cuda() for level in logits], [level.cuda() for level in deltas], S3FD_GRID
    )
    boxes, scores, splits = (part.cpu() for part in result)
    assert_same((boxes, scores, splits), decode_detections(logits, deltas, S3FD_GRID))
