"""From raw head maps to detections: the twin's answer, and what each step promises."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st
from layouts import layouts
from torch import Tensor

from s3fd.ops import AnchorGrid, decode_detections, nms, reference

OPERATOR = torch.ops.s3fd.decode_detections.default
PADDED = torch.ops.s3fd.decode_detections_padded.default
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
S3FD_GRID = AnchorGrid.s3fd()
GRIDS = {
    "s3fd": S3FD_GRID,
    "retinaface": AnchorGrid((8, 16, 32), ((16, 32), (64, 128), (256, 512))),
    "ssd": AnchorGrid(
        (8, 16), ((20, (28, 14), (14, 28)), (40, 60, (60, 30), (30, 60))), backgrounds=(2, 1)
    ),
    "corner": AnchorGrid((8,), ((16, 24),), offset=0.0),
    "axes": AnchorGrid(((8, 16), (16, 8)), ((16, 24), 32)),
}
Maps = tuple[list[Tensor], list[Tensor]]
Detections = tuple[Tensor, Tensor, Tensor]


def make_maps(
    grid: AnchorGrid,
    image_size: tuple[int, int],
    batch: int = 2,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Maps:
    """Maps of small integers and halves, so that logits tie.

    Deltas of sizes are 0: the exponential of anything else may differ in its last bit.
    """
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for level, (rows, columns) in enumerate(grid.feature_sizes(image_size)):
        shapes = grid.num_shapes[level]
        sizes = (batch, shapes * (grid.num_backgrounds[level] + 1), rows, columns)
        logits.append(torch.randint(-4, 5, sizes, generator=generator).to(dtype) / 2)
        shift = torch.randint(-3, 4, (batch, shapes, 4, rows, columns), generator=generator) / 2
        shift[:, :, 2:] = 0
        deltas.append(shift.flatten(1, 2).to(dtype))
    return logits, deltas


def assert_same(result: Detections, expected: Detections, *, exact: bool = True) -> None:
    boxes, scores, splits = result
    assert boxes.dtype == scores.dtype == torch.float32
    assert boxes.shape == (len(scores), 4)
    assert torch.equal(splits, expected[2])
    if exact:
        assert torch.equal(boxes, expected[0])
    torch.testing.assert_close(boxes, expected[0], rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(scores, expected[1], rtol=1e-6, atol=1e-7)


def one_level(logits: Sequence[Sequence[float]], deltas: Tensor | None = None) -> Maps:
    """A 1 x N map of a level with one shape; the logits of each cell, background first."""
    cells = torch.tensor(logits, dtype=torch.float32).T[None, :, None]
    return [cells], [torch.zeros(1, 4, 1, cells.shape[3]) if deltas is None else deltas]


GRID16 = AnchorGrid((16,), (16,))  # neighbours touch, but do not overlap
GRID16_OF_THREE = replace(GRID16, backgrounds=3)


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


@given(
    st.sampled_from(sorted(GRIDS)),
    st.tuples(st.integers(0, 48), st.integers(0, 48)),
    st.integers(0, 3),
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([1, 5, 750]),
    st.integers(0, 2**32 - 1),
)
def test_padded_detections_are_the_same_ones_and_then_zeros(
    grid: str,
    image_size: tuple[int, int],
    batch: int,
    score_threshold: float,
    keep: int,
    seed: int,
) -> None:
    maps = make_maps(GRIDS[grid], image_size, batch, seed=seed)
    arguments: dict[str, Any] = {"score_threshold": score_threshold, "keep": keep}
    boxes, scores, splits = decode_detections(*maps, GRIDS[grid], **arguments)
    for function in (decode_detections, reference.decode_detections):
        result = function(*maps, GRIDS[grid], **arguments, padded=True)
        padded_boxes, padded_scores, counts = result
        assert padded_boxes.shape == (batch, keep, 4)
        assert padded_scores.shape == (batch, keep)
        assert counts.dtype == torch.int64
        assert torch.equal(counts, splits.diff())
        found = torch.arange(keep) < counts[:, None]
        torch.testing.assert_close(padded_boxes[found], boxes)
        torch.testing.assert_close(padded_scores[found], scores)
        assert (padded_boxes[~found] == 0).all()
        assert (padded_scores[~found] == 0).all()


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


@pytest.mark.parametrize("image_sizes", [None, [40, 50, 64, 64]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_opcheck(dtype: torch.dtype, image_sizes: list[int] | None) -> None:
    logits, deltas = make_maps(S3FD_GRID, (64, 64), dtype=dtype)
    rest = (S3FD_GRID.packed, 0.5, 0.3, 100, 50, image_sizes, 0.1, 0.2)
    torch.library.opcheck(OPERATOR, (logits, deltas, *rest))
    torch.library.opcheck(PADDED, (logits, deltas, *rest))
    assert_same(run_elsewhere(OPERATOR, logits, deltas, *rest), OPERATOR(logits, deltas, *rest))


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


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_padded_detections_are_captured_in_a_cuda_graph() -> None:
    maps = make_maps(S3FD_GRID, (96, 128)), make_maps(S3FD_GRID, (96, 128), seed=1)
    logits, deltas = ([level.cuda() for level in levels] for levels in maps[0])
    decode_detections(logits, deltas, S3FD_GRID, padded=True)  # loads what a graph can't
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = decode_detections(logits, deltas, S3FD_GRID, padded=True)
    for level, other in zip([*logits, *deltas], [*maps[1][0], *maps[1][1]], strict=True):
        level.copy_(other)
    graph.replay()
    expected = decode_detections(*maps[1], S3FD_GRID, padded=True)
    assert torch.equal(result[2].cpu(), expected[2])
    assert torch.equal(result[0].cpu(), expected[0])


LOGITS, DELTAS = one_level([(0.0, 1), (0.0, 2)])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((LOGITS[0], DELTAS, GRID16), TypeError, "logits: expected a list"),
        ((LOGITS, DELTAS, (16, 16)), TypeError, "grid: expected an AnchorGrid"),
        ((LOGITS * 2, DELTAS, GRID16), ValueError, "logits: .*1 levels, got 2"),
        ((LOGITS, [], GRID16), ValueError, "deltas: .*1 levels, got 0"),
        (([LOGITS[0][0]], DELTAS, GRID16), ValueError, r"logits\[0\]: .*\[2, 1, 2\]"),
        (([LOGITS[0][:, :1]], DELTAS, GRID16), ValueError, r"logits\[0\]: expected 2 channels"),
        ((LOGITS, DELTAS, GRID16_OF_THREE), ValueError, "of each of 1 shapes 3 background logits"),
        (([LOGITS[0].long()], DELTAS, GRID16), TypeError, r"logits\[0\]: .*int64"),
        ((LOGITS, [DELTAS[0][:, :3]], GRID16), ValueError, r"deltas\[0\]: .*\[1, 3, 1, 2\]"),
        ((LOGITS, [DELTAS[0][..., :1]], GRID16), ValueError, r"deltas\[0\]: .*\[1, 4, 1, 1\]"),
        ((LOGITS, [DELTAS[0].double()], GRID16), (TypeError, ValueError), "float64"),
        ((LOGITS, [DELTAS[0].to("meta")], GRID16), ValueError, "meta"),
    ],
)
def test_bad_maps_are_named(arguments: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        decode_detections(*arguments)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("score_threshold", 1.5, ValueError),
        ("score_threshold", math.nan, ValueError),
        ("score_threshold", "high", TypeError),
        ("iou_threshold", -1, ValueError),
        ("candidates", 0, ValueError),
        ("candidates", 1.5, TypeError),
        ("keep", 0, ValueError),
        ("variances", (0.1, 0), ValueError),
        ("image_sizes", [(1, 1), (1, 1)], ValueError),
        ("image_sizes", [(1, -1)], ValueError),
        ("image_sizes", [(1.5, 1)], TypeError),
        ("image_sizes", 7, (TypeError, ValueError)),
    ],
)
def test_bad_options_are_named(name: str, value: Any, error: Any) -> None:
    with pytest.raises(error, match=name):
        decode_detections(LOGITS, DELTAS, GRID16, **{name: value})


@pytest.mark.parametrize("channels", [4, 8])
def test_maps_of_several_classes_are_not_taken_for_backgrounds(channels: int) -> None:
    grid, deltas = AnchorGrid((16,), ((16, 32),)), [torch.zeros(1, 8, 2, 2)]
    maps = [torch.zeros(1, channels, 2, 2)]
    if channels == 4:  # a background and a face of each of two shapes
        decode_detections(maps, deltas, grid)
        return
    with pytest.raises(ValueError, match=r"expected 4 channels.*AnchorGrid\(\.\.\., backgrounds="):
        decode_detections(maps, deltas, grid)
    decode_detections(maps, deltas, replace(grid, backgrounds=3))


@pytest.mark.parametrize(
    "change",
    [
        lambda packed: packed[:-1],
        lambda packed: [*packed, 1.0],
        lambda packed: [],
        lambda packed: [*packed[:3], 0.0, *packed[4:]],  # backgrounds
        lambda packed: [*packed[:3], math.nan, *packed[4:]],
        lambda packed: [*packed[:4], 1e18, *packed[5:]],  # shapes
        lambda packed: [*packed[:4], -1.0, *packed[5:]],
        lambda packed: [*packed[:4], 0.5, *packed[5:]],
    ],
)
def test_the_kernel_itself_refuses_a_grid_that_it_could_not_read(change: Any) -> None:
    with pytest.raises(RuntimeError, match="s3fd"):
        OPERATOR(LOGITS, DELTAS, change(GRID16.packed), 0.0, 0.3, 100, 50, None, 0.1, 0.2)


def test_the_kernel_itself_refuses_what_it_could_not_read() -> None:
    rest = (GRID16.packed, 0.0, 0.3, 100, 50)
    for logits, deltas, image_sizes in (
        (LOGITS * 2, DELTAS, None),
        (LOGITS, [DELTAS[0][:, :3]], None),
        (LOGITS, [DELTAS[0].double()], None),
        ([LOGITS[0][:, :1]], DELTAS, None),
        ([LOGITS[0][0]], DELTAS, None),
        (LOGITS, DELTAS, [1]),
    ):
        with pytest.raises(RuntimeError, match="s3fd"):
            OPERATOR(logits, deltas, *rest, image_sizes, 0.1, 0.2)
