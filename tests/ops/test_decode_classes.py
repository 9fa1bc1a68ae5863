"""Detections of several classes, of sigmoids, with their anchors: other people's heads."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from elsewhere import run_elsewhere
from head_maps import GRID16, GRIDS, make_maps, one_level
from hypothesis import given
from hypothesis import strategies as st
from layouts import layouts
from torch import Tensor

from s3fd.ops import batched_nms, decode_boxes, decode_detections, reference

LABELLED = torch.ops.s3fd.decode_detections_labelled.default
LABELLED_PADDED = torch.ops.s3fd.decode_detections_labelled_padded.default
ACTIVATIONS = ("softmax", "sigmoid")
Results = tuple[Tensor, ...]


def assert_same(results: Results, expected: Results) -> None:
    """Boxes, labels and indices to the last bit; scores but for how an exponential rounds."""
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.dtype == wanted.dtype
        assert result.shape == wanted.shape
    torch.testing.assert_close(results[1], expected[1], rtol=1e-6, atol=1e-7)
    for part in {*range(len(results))} - {1}:
        assert torch.equal(results[part], expected[part])


def by_anchor(level: Tensor, shapes: int) -> Tensor:
    """``[A, C]``: the channels of each anchor of the first image."""
    return level[0].unflatten(0, (shapes, -1)).permute(2, 3, 0, 1).flatten(0, 2)


@given(
    name=st.sampled_from(sorted(GRIDS)),
    activation=st.sampled_from(ACTIVATIONS),
    classes=st.integers(1, 5),
    image_size=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    batch=st.integers(0, 2),
    seed=st.integers(0, 2**32 - 1),
    options=st.fixed_dictionaries(
        {
            "score_threshold": st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.9, 1.0]),
            "iou_threshold": st.sampled_from([0.0, 0.3, 0.5, 1.0]),
            "candidates": st.sampled_from([1, 7, 50, 5000]),
            "keep": st.sampled_from([1, 5, 750]),
            "padded": st.booleans(),
        }
    ),
    clipped=st.booleans(),
)
def test_detections_of_classes_are_the_twins(
    name, activation, classes, image_size, batch, seed, options, clipped
) -> None:
    grid = GRIDS[name]
    maps = make_maps(grid, image_size, batch, classes=classes, activation=activation, seed=seed)
    options |= {"activation": activation, "classes": classes, "return_indices": True}
    if clipped:
        options["image_sizes"] = [(image_size[0] // (i + 1), image_size[1]) for i in range(batch)]
    expected = reference.decode_detections(*maps, grid, **options)
    assert_same(decode_detections(*maps, grid, **options), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_steps_one_by_one_give_the_same(activation: Any) -> None:
    """Scores by torch's own functions, thresholds, boxes and suppression of each class."""
    grid, classes = GRIDS["corner"], 4
    logits, deltas = make_maps(grid, (64, 80), 1, classes=classes, activation=activation)
    rows = by_anchor(logits[0], grid.num_shapes[0]).double()  # [A, C]
    scores = rows.softmax(1)[:, 1:] if activation == "softmax" else rows.sigmoid()
    anchor, label = (scores > 0.3).nonzero(as_tuple=True)
    anchors = grid.anchors(grid.feature_sizes((64, 80)))
    boxes = decode_boxes(by_anchor(deltas[0], grid.num_shapes[0]), anchors)[anchor]
    score = scores[anchor, label].float()
    kept = batched_nms(boxes, score, label, 0.3)
    results = decode_detections(
        logits,
        deltas,
        grid,
        score_threshold=0.3,
        activation=activation,
        classes=classes,
        return_indices=True,
    )
    assert len(kept) > 20
    splits = torch.tensor([0, len(kept)])
    assert_same(results, (boxes[kept], score[kept], splits, label[kept], anchor[kept]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layout", ["channels_last", "sliced", "transposed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_every_layout_and_dtype_gives_the_same(
    activation: Any, layout: str, dtype: torch.dtype
) -> None:
    grid = GRIDS["ssd"]
    maps = make_maps(grid, (64, 72), classes=3, activation=activation, dtype=dtype)
    options: dict[str, Any] = {"activation": activation, "classes": 3, "return_indices": True}
    laid_out = ([layouts(level)[layout] for level in levels] for levels in maps)
    expected = reference.decode_detections(*maps, grid, **options)
    assert len(expected[0]) > 10
    assert_same(decode_detections(*laid_out, grid, **options), expected)


def test_one_class_in_a_softmax_is_a_face_and_its_label_0() -> None:
    maps = make_maps(GRIDS["ssd"], (64, 64))
    plain = decode_detections(*maps, GRIDS["ssd"])
    *same, labels, indices = decode_detections(*maps, GRIDS["ssd"], classes=1, return_indices=True)
    assert all(map(torch.equal, same, plain))
    assert (labels == 0).all()
    *same, only_indices = decode_detections(*maps, GRIDS["ssd"], return_indices=True)
    assert all(map(torch.equal, same, plain))
    assert torch.equal(only_indices, indices)


def test_indices_gather_what_else_the_head_says_of_an_anchor() -> None:
    grid = GRIDS["retinaface"]
    sizes = grid.feature_sizes((96, 96))
    maps = make_maps(grid, (96, 96), 1)
    boxes, *_, indices = decode_detections(*maps, grid, return_indices=True)
    joined = torch.cat(list(map(by_anchor, maps[1], grid.num_shapes)))
    assert len(boxes) > 10
    assert torch.equal(decode_boxes(joined, grid.anchors(sizes))[indices], boxes)


def test_boxes_of_other_classes_are_not_suppressed() -> None:
    maps = one_level([(0.0, 3, 2, 1), (0, -9, -9, 4)])
    deltas = torch.zeros(1, 4, 1, 2)
    deltas[0, 0, 0, 1] = -10  # onto the first anchor
    *_, scores, splits, labels, indices = decode_detections(
        maps[0], [deltas], GRID16, score_threshold=0.05, classes=3, return_indices=True
    )
    assert labels.tolist() == [2, 0, 1]  # the third class of the first anchor is suppressed
    assert indices.tolist() == [1, 0, 0]
    expected = torch.tensor([[0.0, 3, 2, 1], [0, -9, -9, 4]]).softmax(dim=1)
    torch.testing.assert_close(scores, expected[[1, 0, 0], [3, 1, 2]])
    assert splits.tolist() == [0, 3]


def test_candidates_and_keep_count_all_classes_together() -> None:
    maps = one_level([(0.0, 5, 4), (0, 3, 2)])
    options: dict[str, Any] = {"activation": "sigmoid", "classes": 3, "score_threshold": 0.6}
    for limit in ("candidates", "keep"):
        *_, labels = decode_detections(*maps, GRID16, **options, **{limit: 3})
        assert labels.tolist() == [1, 2, 1]


def test_equal_scores_go_by_the_lower_anchor_and_then_the_lower_class() -> None:
    maps = one_level([(1.0, 1), (1, 1), (1, 1)])
    *_, labels, indices = decode_detections(
        *maps, GRID16, activation="sigmoid", classes=2, return_indices=True
    )
    assert indices.tolist() == [0, 0, 1, 1, 2, 2]
    assert labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_only_the_strongest_background_takes_part_in_the_softmax() -> None:
    grid = replace(GRID16, backgrounds=2)
    _, scores, _, labels = decode_detections(
        *one_level([(1.0, 2, 3, 1)]), grid, classes=2, score_threshold=0.05
    )
    torch.testing.assert_close(scores, torch.tensor([2.0, 3, 1]).softmax(0)[1:])
    assert labels.tolist() == [0, 1]


def test_a_sigmoid_has_no_background_whatever_the_grid_says() -> None:
    grid = replace(GRID16, backgrounds=3)
    _, scores, *_ = decode_detections(*one_level([(2.0,)]), grid, activation="sigmoid")
    torch.testing.assert_close(scores, torch.tensor([2.0]).sigmoid())


@pytest.mark.parametrize("score_threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "logits",
    [
        (math.nan, 0, 9),
        (0, math.nan, 9),
        (0, 9, math.nan),
        (0, math.inf, 0),
        (0, math.inf, math.inf),
        (math.inf, 1, 2),
        (-math.inf, -math.inf, -math.inf),
        (-math.inf, -math.inf, 0),
        (0, 1000, -1000),
        (3e38, -3e38, 3e38),
    ],
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_odd_logits_give_what_the_twin_gives(
    activation: Any, logits: tuple[float, ...], score_threshold: float
) -> None:
    maps = one_level([logits, (0, 1, 2)])
    options: dict[str, Any] = {
        "activation": activation,
        "classes": 2 if activation == "softmax" else 3,
        "score_threshold": score_threshold,
        "return_indices": True,
    }
    expected = reference.decode_detections(*maps, GRID16, **options)
    assert_same(decode_detections(*maps, GRID16, **options), expected)
    assert not expected[1].isnan().any()


def test_margins_tell_apart_what_scores_round_to_one() -> None:
    maps = one_level([(0.0, 1, 40), (0, 1, 60), (0, 1, 50)])
    _, scores, _, labels, indices = decode_detections(*maps, GRID16, classes=2, return_indices=True)
    assert scores.tolist() == [1, 1, 1]
    assert labels.tolist() == [1, 1, 1]
    assert indices.tolist() == [1, 2, 0]


def test_many_classes_of_large_maps_are_the_twins() -> None:
    grid = GRIDS["retinaface"]
    for activation in ACTIVATIONS:
        maps = make_maps(grid, (160, 160), classes=33, activation=activation)
        options: dict[str, Any] = {
            "activation": activation,
            "classes": 33,
            "score_threshold": 0.2 if activation == "softmax" else 0.95,
            "return_indices": True,
            "candidates": 1500,
            "image_sizes": [(150, 160), (100, 90)],
        }
        expected = reference.decode_detections(*maps, grid, **options)
        assert_same(decode_detections(*maps, grid, **options), expected)


def test_box_weights_are_inverse_variances() -> None:
    maps = make_maps(GRIDS["corner"], (64, 64))
    expected = decode_detections(*maps, GRIDS["corner"], variances=(0.125, 0.25))
    result = decode_detections(*maps, GRIDS["corner"], box_weights=(8, 8, 4, 4))
    assert all(map(torch.equal, result, expected))
    twin = reference.decode_detections(*maps, GRIDS["corner"], box_weights=(8, 8, 4, 4))
    assert_same(twin, expected)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("image_sizes", [None, [40, 50, 64, 64]])
def test_opcheck(activation: str, image_sizes: list[int] | None) -> None:
    grid = GRIDS["ssd"]
    maps = make_maps(grid, (64, 64), classes=3, activation=activation)
    arguments = (*maps, grid.packed, 0.5, 0.3, 100, 50, image_sizes, 0.1, 0.2, 3)
    for operator in (LABELLED, LABELLED_PADDED):
        torch.library.opcheck(operator, (*arguments, activation == "sigmoid"))
        elsewhere = run_elsewhere(operator, *arguments, activation == "sigmoid")
        assert_same(elsewhere, operator(*arguments, activation == "sigmoid"))


def test_compiles_into_one_graph() -> None:
    grid = GRIDS["ssd"]

    def detect(logits: list[Tensor], deltas: list[Tensor]) -> Results:
        return decode_detections(
            logits, deltas, grid, classes=3, padded=True, keep=50, return_indices=True
        )

    maps = make_maps(grid, (64, 96), classes=3)
    compiled = torch.compile(detect, fullgraph=True, backend="aot_eager")
    assert_same(compiled(*maps), detect(*maps))


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cuda_finds_what_the_cpu_finds(activation: Any) -> None:
    grid = GRIDS["ssd"]
    maps = make_maps(grid, (160, 160), classes=20, activation=activation)
    options: dict[str, Any] = {
        "activation": activation,
        "classes": 20,
        "score_threshold": 0.2,
        "return_indices": True,
    }
    on_device = ([level.cuda() for level in levels] for levels in maps)
    results = decode_detections(*on_device, grid, **options)
    assert_same(tuple(part.cpu() for part in results), decode_detections(*maps, grid, **options))


LOGITS, DELTAS = one_level([(0.0, 1, 2)])


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"classes": 0}, ValueError, "classes: expected an integer >= 1"),
        ({"classes": 1.5}, TypeError, "classes"),
        ({"classes": 3}, ValueError, r"expected 4 channels.*those of 3 classes.*classes="),
        ({"classes": 2, "activation": "sigmoid"}, ValueError, r"expected 2 channels.*0 background"),
        ({"activation": "relu"}, ValueError, "activation: expected 'softmax' or 'sigmoid'"),
        ({"classes": 2, "box_weights": (1, 1)}, ValueError, "box_weights: expected four"),
        ({"classes": 2, "box_weights": 10}, TypeError, "box_weights"),
        ({"classes": 2, "box_weights": (10, 5, 5, 5)}, ValueError, "x and y share one"),
        ({"classes": 2, "box_weights": (10, 10, 0, 0)}, ValueError, "box_weights"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        decode_detections(LOGITS, DELTAS, GRID16, **options)


@pytest.mark.parametrize("classes", [0, -1, 1, 3, 2**40, 2**63 - 1])
def test_the_kernel_itself_refuses_classes_that_the_maps_do_not_have(classes: int) -> None:
    for operator in (LABELLED, LABELLED_PADDED):
        with pytest.raises(RuntimeError, match="s3fd"):
            operator(LOGITS, DELTAS, GRID16.packed, 0.0, 0.3, 9, 9, None, 0.1, 0.2, classes, False)
