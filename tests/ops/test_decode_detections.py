"""From raw head maps to detections: the fused operator against its parts."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from s3fd.ops import AnchorGrid, decode_boxes, decode_detections, nms, reference

OPERATOR = torch.ops.s3fd.decode_detections.default
S3FD = AnchorGrid.s3fd()
SSD = AnchorGrid(strides=(8, 16), sizes=((16, (16, 32), (32, 16)), (32, 45.0)))
GRIDS = {"s3fd": (S3FD, (4, 2, 2, 2, 2, 2)), "ssd": (SSD, (2, 3))}


def maps(
    grid: AnchorGrid, classes: tuple[int, ...], size: tuple[int, int], *, batch: int = 2,
    seed: int = 0, step: float = 0.0,
) -> tuple[list[Tensor], list[Tensor]]:  # fmt: skip
    """Random head maps; with `step`, logits are multiples of it, so that scores tie."""
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for feature_size, shapes, k in zip(
        grid.feature_sizes(size), grid.num_shapes, classes, strict=True
    ):
        level = torch.randn(batch, shapes * k, *feature_size, generator=generator) * 2
        logits.append((level / step).round() * step if step else level)
        deltas.append(torch.randn(batch, shapes * 4, *feature_size, generator=generator))
    return logits, deltas


def by_the_book(
    logits: list[Tensor], deltas: list[Tensor], grid: AnchorGrid, *, score_threshold: float,
    iou_threshold: float, candidates: int, keep: int, image_sizes: list[tuple[int, int]] | None,
) -> list[tuple[Tensor, Tensor]]:  # fmt: skip
    """Boxes and margins of each image, anchor by anchor in Python."""
    anchors = grid.anchors([(level.shape[2], level.shape[3]) for level in logits])
    results = []
    for image in range(logits[0].shape[0]):
        rows, index = [], 0
        for level, level_deltas, shapes in zip(logits, deltas, grid.num_shapes, strict=True):
            classes = level.shape[1] // shapes
            for row in range(level.shape[2]):
                for column in range(level.shape[3]):
                    for shape in range(shapes):
                        cell = level[image, shape * classes : (shape + 1) * classes, row, column]
                        margin = cell[-1] - cell[:-1].max()
                        if margin >= math.log(score_threshold / (1 - score_threshold)):
                            delta = level_deltas[image, 4 * shape : 4 * shape + 4, row, column]
                            size = None if image_sizes is None else image_sizes[image]
                            box = decode_boxes(delta[None], anchors[index][None], image_size=size)
                            if (box[0, 2:] > box[0, :2]).all():
                                rows.append((-margin.item(), index, box[0]))
                        index += 1
        rows = sorted(rows, key=lambda row: row[:2])[:candidates]
        boxes = torch.stack([row[2] for row in rows]) if rows else torch.zeros(0, 4)
        margins = torch.tensor([-row[0] for row in rows])
        kept = nms(boxes, margins, iou_threshold)[:keep]
        results.append((boxes[kept], margins[kept]))
    return results


def equal(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    assert torch.equal(found[2], expected[2])
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"score_threshold": 0.9, "candidates": 9, "keep": 4},
        {"image_sizes": [(40, 50), (64, 7)]},
        {"iou_threshold": 0.05, "score_threshold": 0.3},
    ],
)
def test_each_anchor_is_decided_by_the_book(name: str, settings: dict[str, Any]) -> None:
    grid, classes = GRIDS[name]
    logits, deltas = maps(grid, classes, (64, 64), step=0.5)
    defaults = {"score_threshold": 0.5, "iou_threshold": 0.3, "candidates": 5000, "keep": 750,
                "image_sizes": None}  # fmt: skip
    chosen = {**defaults, **settings}
    expected = by_the_book(logits, deltas, grid, **chosen)
    for function in (decode_detections, reference.decode_detections):
        boxes, scores, splits = function(logits, deltas, grid, **chosen)
        assert (splits.diff() == torch.tensor([len(b) for b, _ in expected])).all()
        torch.testing.assert_close(boxes, torch.cat([b for b, _ in expected]), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(scores, torch.cat([m for _, m in expected]).sigmoid())


@given(
    st.sampled_from(sorted(GRIDS)), st.integers(0, 2**32 - 1), st.integers(0, 3),
    st.sampled_from([0.0, 0.1, 0.5, 0.99, 1.0]), st.booleans(),
)  # fmt: skip
def test_the_answer_is_the_twins(
    name: str, seed: int, batch: int, threshold: float, tied: bool
) -> None:
    grid, classes = GRIDS[name]
    logits, deltas = maps(
        grid, classes, (96, 64), batch=batch, seed=seed, step=1.0 if tied else 0.0
    )
    settings = {"score_threshold": threshold, "keep": 60}
    equal(
        decode_detections(logits, deltas, grid, **settings),
        reference.decode_detections(logits, deltas, grid, **settings),
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read_as_float32(dtype: torch.dtype) -> None:
    logits, deltas = maps(*GRIDS["s3fd"], (128, 96))
    logits, deltas = ([level.to(dtype) for level in levels] for levels in (logits, deltas))
    found = decode_detections(logits, deltas, S3FD)
    equal(
        found,
        decode_detections([x.float() for x in logits], [x.float() for x in deltas], S3FD),
    )
    assert found[0].dtype == found[1].dtype == torch.float32


def test_any_memory_layout_is_read() -> None:
    for grid, classes in GRIDS.values():
        logits, deltas = maps(grid, classes, (96, 128))
        expected = decode_detections(logits, deltas, grid)
        last = torch.channels_last
        equal(
            decode_detections(
                [x.contiguous(memory_format=last) for x in logits],
                [x.contiguous(memory_format=last) for x in deltas],
                grid,
            ),
            expected,
        )
        wide = [x.repeat_interleave(2, dim=3)[..., ::2] for x in logits]
        tall = [x.transpose(2, 3).contiguous().transpose(2, 3) for x in deltas]
        equal(decode_detections(wide, tall, grid), expected)


def test_the_number_of_threads_changes_nothing() -> None:
    logits, deltas = maps(*GRIDS["s3fd"], (640, 512), batch=3)
    threads = torch.get_num_threads()
    try:
        results = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            results.append(decode_detections(logits, deltas, S3FD, score_threshold=0.9))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0], strict=True))


def one_cell(margin: float, delta: list[float]) -> tuple[list[Tensor], list[Tensor], AnchorGrid]:
    grid = AnchorGrid(strides=(16,), sizes=(16,))
    logits = torch.tensor([0.0, margin]).view(1, 2, 1, 1)
    return [logits], [torch.tensor(delta).view(1, 4, 1, 1)], grid


@pytest.mark.parametrize("function", [decode_detections, reference.decode_detections])
@pytest.mark.parametrize(
    "delta",
    [[math.nan, 0.0, 0.0, 0.0], [0.0, math.inf, 0.0, 0.0], [0.0, 0.0, 1e4, 0.0],
     [0.0, 0.0, -1e4, 0.0], [0.0, 0.0, 0.0, math.nan]],
)  # fmt: skip
def test_a_box_without_a_finite_area_is_dropped(function: Any, delta: list[float]) -> None:
    boxes, scores, splits = function(*one_cell(5.0, delta))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert splits.tolist() == [0, 0]


@pytest.mark.parametrize("function", [decode_detections, reference.decode_detections])
def test_a_box_outside_of_its_image_leaves_room_for_a_candidate(function: Any) -> None:
    grid = AnchorGrid(strides=(16,), sizes=(16,))
    logits = torch.tensor([[0.0, 0.0], [5.0, 3.0]]).view(1, 2, 1, 2)
    deltas = torch.zeros(1, 4, 1, 2)
    deltas[0, 0, 0, 0] = 100.0  # the better one lies 160 px to the right
    boxes, _, _ = function([logits], [deltas], grid, candidates=1, image_sizes=[(16, 32)])
    assert boxes.tolist() == [[16.0, 0.0, 32.0, 16.0]]


@pytest.mark.parametrize("function", [decode_detections, reference.decode_detections])
def test_a_nan_never_passes_whatever_the_threshold(function: Any) -> None:
    for channel in range(4):
        logits = torch.tensor([1.0, -2.0, 0.0, 9.0]).view(1, 4, 1, 1)
        logits[0, channel] = math.nan
        grid = AnchorGrid(strides=(16,), sizes=(16,))
        for threshold in (0.0, 0.5):
            result = function([logits], [torch.zeros(1, 4, 1, 1)], grid, score_threshold=threshold)
            assert result[2].tolist() == [0, 0]


@pytest.mark.parametrize("function", [decode_detections, reference.decode_detections])
def test_the_threshold_itself_passes(function: Any) -> None:
    assert len(function(*one_cell(0.0, [0.0] * 4), score_threshold=0.5)[1]) == 1
    assert len(function(*one_cell(-1e-6, [0.0] * 4), score_threshold=0.5)[1]) == 0


@pytest.mark.parametrize("function", [decode_detections, reference.decode_detections])
def test_margins_decide_where_scores_round_to_one(function: Any) -> None:
    grid = AnchorGrid(strides=(16,), sizes=(16,))
    logits = torch.tensor([[0.0, 0.0], [40.0, 50.0]]).view(1, 2, 1, 2)
    boxes, scores, _ = function([logits], [torch.zeros(1, 4, 1, 2)], grid, keep=1)
    assert scores.tolist() == [1.0]
    assert boxes.tolist() == [[16.0, 0.0, 32.0, 16.0]]


@pytest.mark.parametrize("function", [decode_detections, reference.decode_detections])
def test_no_images_and_no_cells_give_no_rows(function: Any) -> None:
    for batch, size in ((0, (64, 64)), (2, (0, 0)), (2, (64, 0))):
        logits, deltas = maps(*GRIDS["s3fd"], size, batch=batch)
        boxes, scores, splits = function(logits, deltas, S3FD)
        assert boxes.shape == (0, 4)
        assert scores.shape == (0,)
        assert splits.tolist() == [0] * (batch + 1)


def test_gradients_stop_here() -> None:
    logits, deltas = maps(*GRIDS["s3fd"], (64, 64))
    boxes, scores, _ = decode_detections([x.requires_grad_() for x in logits], deltas, S3FD)
    assert not boxes.requires_grad
    assert not scores.requires_grad


def test_autocast_changes_nothing() -> None:
    logits, deltas = maps(*GRIDS["s3fd"], (64, 64))
    expected = decode_detections(logits, deltas, S3FD)
    with torch.autocast("cpu", torch.bfloat16):
        equal(decode_detections(logits, deltas, S3FD), expected)


LOGITS, DELTAS = maps(*GRIDS["s3fd"], (64, 64))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"grid": None}, TypeError, "grid: expected an AnchorGrid"),
        ({"logits": LOGITS[:5]}, ValueError, "logits: expected the maps of the grid's 6 levels"),
        ({"deltas": DELTAS[0]}, TypeError, "deltas: expected a list"),
        ({"logits": [LOGITS[0][:, :1], *LOGITS[1:]]}, ValueError, r"logits\[0\]: .* at least 2"),
        ({"grid": SSD, "logits": LOGITS[:2], "deltas": DELTAS[:2]}, ValueError, r"deltas\[0\]"),
        ({"deltas": [*DELTAS[:5], DELTAS[3]]}, ValueError, r"deltas\[5\]: expected \[2, 4, 1, 1\]"),
        ({"logits": [*LOGITS[:5], LOGITS[5].half()]}, ValueError, r"logits\[5\].*dtype"),
        ({"logits": [x.long() for x in LOGITS]}, TypeError, r"logits\[0\]"),
        ({"score_threshold": 1.1}, ValueError, "score_threshold"),
        ({"iou_threshold": -0.1}, ValueError, "iou_threshold"),
        ({"candidates": 0}, ValueError, "candidates"),
        ({"keep": 1.5}, TypeError, "keep"),
        ({"image_sizes": [(64, 64)]}, ValueError, "image_sizes: expected .* of each of 2 images"),
        ({"image_sizes": [(64, 64), (64, -1)]}, ValueError, r"image_sizes\[1\]"),
        ({"variances": (0.1, 0.0)}, ValueError, "variances"),
    ],
)
def test_bad_arguments_are_named(change: dict, error: type[Exception], message: str) -> None:
    good = {"logits": LOGITS, "deltas": DELTAS, "grid": S3FD}
    with pytest.raises(error, match=message):
        decode_detections(**{**good, **change})


def operator_arguments(sizes: list[int] | None) -> tuple[Any, ...]:
    logits, deltas = maps(SSD, (2, 3), (32, 32))
    _, *grid = SSD._operator_arguments(SSD.feature_sizes((32, 32)))
    return (logits, deltas, *grid, 0.0, 0.3, 100, 50, sizes, 0.1, 0.2)


@pytest.mark.parametrize("sizes", [None, [32, 32, 20, 30]])
def test_opcheck(sizes: list[int] | None) -> None:
    torch.library.opcheck(OPERATOR, operator_arguments(sizes))


@pytest.mark.parametrize("sizes", [None, [32, 32, 20, 30]])
def test_devices_without_a_kernel_run_the_twin(sizes: list[int] | None) -> None:
    arguments = operator_arguments(sizes)
    elsewhere = torch._C.DispatchKey.CompositeExplicitAutograd
    equal(OPERATOR._op_dk(elsewhere, *arguments), OPERATOR(*arguments))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_finds_what_the_cpu_finds() -> None:
    logits, deltas = maps(*GRIDS["s3fd"], (320, 320))
    found = decode_detections([x.cuda() for x in logits], [x.cuda() for x in deltas], S3FD)
    equal(tuple(x.cpu() for x in found), decode_detections(logits, deltas, S3FD))
