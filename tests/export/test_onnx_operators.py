"""The operators of s3fd in those of ONNX, run by ONNX Runtime."""

import math

import numpy as np
import pytest
import torch
from onnx_decoding import CELLS, GRID, assert_same, decode, run

from s3fd import ops
from s3fd.export import onnx_operators
from s3fd.export.onnx_operators import constant
from s3fd.ops import AnchorGrid


def random_maps(batch, seed, cells=CELLS):
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for (rows, columns), shapes, behind in zip(
        cells, GRID.num_shapes, GRID.num_backgrounds, strict=True
    ):
        normal = torch.randn(batch, shapes * (behind + 5), rows, columns, generator=generator)
        logits.append(2 * normal[:, : shapes * (behind + 1)])
        deltas.append(normal[:, -4 * shapes :])
    return logits, deltas


@pytest.mark.parametrize("batch", [0, 1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"score_threshold": 0.0, "iou_threshold": 0.9},
        {"score_threshold": 0.999999},
        {"candidates": 20},
        {"keep": 3, "iou_threshold": 0.0},
    ],
)
def test_decoding_finds_what_the_operator_finds(batch, settings):
    logits, deltas = random_maps(batch, seed=batch)
    expected = ops.decode_detections(logits, deltas, GRID, **settings)
    assert_same(decode(logits, deltas, **settings), expected)


def test_boxes_are_clipped_before_they_are_compared():
    logits, deltas = random_maps(2, seed=5)
    sizes = [(30, 50), (41, 66)]
    limits = [[[width, height, width, height]] for height, width in sizes]
    expected = ops.decode_detections(logits, deltas, GRID, image_sizes=sizes)
    assert_same(decode(logits, deltas, limits=limits), expected)


def test_the_padded_form_is_that_of_the_operator():
    logits, deltas = random_maps(3, seed=7)
    logits = [level.clone() for level in logits]
    for level in logits:
        level[1] = -level[1].abs()  # an image without a face between others
        level[1, :1] = 9
    expected = ops.decode_detections(logits, deltas, GRID, padded=True, keep=40)
    assert_same(decode(logits, deltas, padded=True, keep=40), expected)


def test_what_is_no_number_or_no_box_is_left_out():
    logits, deltas = random_maps(1, seed=3)
    logits[0][0, :, 3, 4] = math.nan
    deltas[0][0, 2, 5] = math.inf
    deltas[1][0, 3, 1] = -2000.0
    deltas[2][0, :, 0] = math.nan
    expected = ops.decode_detections(logits, deltas, GRID)
    assert_same(decode(logits, deltas), expected)


def test_of_equal_scores_the_lower_anchor_goes_first():
    logits, deltas = random_maps(1, seed=4)
    logits = [level.round() for level in logits]
    expected = ops.decode_detections(logits, deltas, GRID, iou_threshold=0.2)
    assert_same(decode(logits, deltas, iou_threshold=0.2), expected)


def test_levels_of_one_cell_are_decoded():
    logits, deltas = random_maps(2, seed=6, cells=[(1, 1), (1, 2), (1, 1)])
    expected = ops.decode_detections(logits, deltas, GRID, score_threshold=0.1)
    assert_same(decode(logits, deltas, score_threshold=0.1), expected)


@pytest.mark.parametrize("cells", [[(0, 3), (1, 2), (1, 1)], [(0, 0), (0, 0), (0, 0)]])
@pytest.mark.parametrize("padded", [False, True])
def test_levels_without_a_cell_are_passed_over(cells, padded):
    logits, deltas = random_maps(2, seed=6, cells=cells)
    settings = {"score_threshold": 0.1, "padded": padded, "keep": 5}
    expected = ops.decode_detections(logits, deltas, GRID, **settings)
    assert_same(decode(logits, deltas, **settings), expected)


@pytest.mark.parametrize("cells", [CELLS, [(0, 0), (0, 0), (0, 0)]])
def test_no_images_have_no_detections(cells):
    logits, deltas = random_maps(0, seed=6, cells=cells)
    expected = ops.decode_detections(logits, deltas, GRID, padded=True, keep=5)
    assert_same(decode(logits, deltas, padded=True, keep=5), expected)


def random_boxes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 100
    boxes = torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 40], dim=1)
    return boxes, torch.rand(count, generator=generator)


@pytest.mark.parametrize("count", [0, 1, 200])
@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 1.0])
def test_suppression_keeps_what_the_operator_keeps(count, iou_threshold):
    boxes, scores = random_boxes(count, seed=count)
    scores = (scores * 20).round()  # ties
    (kept,) = run(lambda g, b, s: onnx_operators.nms(g, b, s, iou_threshold), boxes, scores)
    assert torch.equal(kept, ops.nms(boxes, scores, iou_threshold))


# Of these float32 holds one, is above two and below the others.
EXACT_IOUS = [(0.5, 5), (0.3, 3), (0.6, 6), (0.7, 7), (0.1, 1)]


@pytest.mark.parametrize(("iou_threshold", "height"), EXACT_IOUS)
def test_an_iou_of_exactly_the_threshold_is_decided_as_by_the_operator(iou_threshold, height):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, height]])
    scores, groups = torch.tensor([2.0, 1]), torch.tensor([0, 0])
    expected = ops.nms(boxes, scores, iou_threshold)
    (kept,) = run(lambda g, b, s: onnx_operators.nms(g, b, s, iou_threshold), boxes, scores)
    assert torch.equal(kept, expected)
    (kept,) = run(
        lambda g, *inputs: onnx_operators.batched_nms(g, *inputs, iou_threshold),
        *(boxes, scores, groups),
    )
    assert torch.equal(kept, expected)


@pytest.mark.parametrize(("iou_threshold", "height"), EXACT_IOUS)
def test_decoding_decides_of_an_iou_of_exactly_the_threshold_as_the_operator(iou_threshold, height):
    grid = AnchorGrid(strides=(16,), sizes=(((10, 10), (10, height)),))
    maps = [torch.tensor([0.0, 2, 0, 1]).view(1, 4, 1, 1)], [torch.zeros(1, 8, 1, 1)]
    expected = ops.decode_detections(*maps, grid, iou_threshold=iou_threshold)
    assert_same(decode(*maps, grid=grid, iou_threshold=iou_threshold), expected)


def test_scores_below_zero_and_infinite_ones_are_suppressed_like_others():
    boxes, _ = random_boxes(6, seed=5)
    scores = torch.tensor([-math.inf, -3, math.inf, -1, -math.inf, 2])
    (kept,) = run(lambda g, b, s: onnx_operators.nms(g, b, s, 0.9), boxes, scores)
    assert kept.tolist() == ops.nms(boxes, scores, 0.9).tolist() == [2, 5, 3, 1, 0, 4]


def test_degenerate_boxes_suppress_nothing():
    boxes, scores = random_boxes(100, seed=1)
    boxes[::3] = boxes[::3][:, [2, 3, 0, 1]]  # inside out
    boxes[1::9, 2] = boxes[1::9, 0]
    boxes[2::9, 1] = math.nan
    boxes[5::9, 3] = math.inf
    (kept,) = run(lambda g, b, s: onnx_operators.nms(g, b, s, 0.1), boxes, scores)
    assert torch.equal(kept, ops.nms(boxes, scores, 0.1))


@pytest.mark.parametrize("count", [0, 1, 200])
@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 1.0])
def test_suppression_in_groups_keeps_what_the_operator_keeps(count, iou_threshold):
    boxes, scores = random_boxes(count, seed=count)
    scores = (scores * 20).round() - 10  # ties
    scores[::7], scores[1::9] = -math.inf, math.inf
    boxes[::5] = boxes[::5][:, [2, 3, 0, 1]]  # inside out
    groups = torch.arange(count) % 4 * 2**40 - 2**41

    def build(graph, boxes, scores, groups):
        return onnx_operators.batched_nms(graph, boxes, scores, groups, iou_threshold)

    (kept,) = run(build, boxes, scores, groups)
    assert torch.equal(kept, ops.batched_nms(boxes, scores, groups, iou_threshold))


@pytest.mark.parametrize("keep", [1, 5, 300])
def test_padded_suppression_is_that_of_the_operator(keep):
    boxes, scores = random_boxes(100, seed=2)

    def build(graph, boxes, scores):
        most = constant(graph, [keep], np.int64)
        kept = onnx_operators.nms(graph, boxes, scores, 0.2, most)
        return onnx_operators.pad_indices(graph, kept, most)

    indices, count = run(build, boxes, scores)
    expected = ops.nms(boxes, scores, 0.2, padded=True, keep=keep)
    assert torch.equal(indices, expected[0])
    assert torch.equal(count, expected[1])


def test_max_out_background_and_l2_normalize_are_those_of_the_operators():
    features, weight = torch.randn(2, 4, 3, 5), torch.randn(4)
    features[0, :, 1, 1] = 0
    (actual,) = run(onnx_operators.max_out_background, features)
    assert torch.equal(actual, ops.max_out_background(features))
    (actual,) = run(onnx_operators.l2_normalize, features, weight)
    torch.testing.assert_close(actual, ops.l2_normalize(features, weight))


@pytest.mark.parametrize("image_size", [None, (40, 60)])
def test_boxes_are_decoded_as_by_the_operator(image_size):
    anchors, _ = random_boxes(30, seed=3)
    deltas = 2 * torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(4))

    def build(graph, deltas, anchors):
        limits = None if image_size is None else constant(graph, [60, 40, 60, 40], np.float32)
        return onnx_operators.decode_boxes(graph, deltas, anchors, (0.1, 0.2), limits)

    (actual,) = run(build, deltas, anchors)
    expected = ops.decode_boxes(deltas, anchors, (0.1, 0.2), image_size=image_size)
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-5)
