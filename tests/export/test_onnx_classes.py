"""Decoding of several classes in the operators of ONNX, run by ONNX Runtime."""

import math

import pytest
import torch
from onnx_decoding import CELLS, GRID, assert_same, decode
from onnx_models import check_exported
from torch import nn

from s3fd import ops
from s3fd.ops import AnchorGrid


def random_maps(batch, seed, classes, sigmoid=False, cells=CELLS):
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for size, shapes, behind in zip(cells, GRID.num_shapes, GRID.num_backgrounds, strict=True):
        channels = shapes * (classes if sigmoid else behind + classes)
        logits.append(3 * torch.randn(batch, channels, *size, generator=generator))
        deltas.append(torch.randn(batch, shapes * 4, *size, generator=generator))
    return logits, deltas


def assert_as_the_operator(logits, deltas, classes, sigmoid=False, limits=None, **settings):
    expected = ops.decode_detections(
        logits,
        deltas,
        GRID,
        classes=classes,
        activation="sigmoid" if sigmoid else "softmax",
        return_indices=True,
        **settings,
    )
    settings.pop("image_sizes", None)
    kinds = {"classes": classes, "sigmoid": sigmoid}
    assert_same(decode(logits, deltas, limits=limits, kinds=kinds, **settings), expected)
    return expected


@pytest.mark.parametrize("classes", [1, 2, 7])
@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {"score_threshold": 0.3},
        {"score_threshold": 0.02, "iou_threshold": 0.8, "candidates": 300},
        {"score_threshold": 0.1, "keep": 9},
        {"score_threshold": 0.1, "keep": 30, "padded": True},
        {"score_threshold": 0.999999},
    ],
)
def test_classes_are_decoded_as_by_the_operator(classes, sigmoid, settings):
    logits, deltas = random_maps(3, classes, classes, sigmoid)
    for level in logits:
        level[1] = -30  # an image without detections, between others
        if not sigmoid:
            level[1, :1] = 30
    found = assert_as_the_operator(logits, deltas, classes, sigmoid, **settings)
    if settings["score_threshold"] < 0.9:
        assert set(found[3].unique().tolist()) >= set(range(classes))


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_no_images_have_no_detections(sigmoid, padded):
    logits, deltas = random_maps(0, 0, 3, sigmoid)
    found = assert_as_the_operator(logits, deltas, 3, sigmoid, padded=padded, keep=20)
    assert found[0].shape == ((0, 20, 4) if padded else (0, 4))


def test_boxes_of_several_classes_are_clipped():
    logits, deltas = random_maps(2, 5, 3)
    sizes = [(30, 50), (41, 66)]
    limits = [[[width, height, width, height]] for height, width in sizes]
    assert_as_the_operator(logits, deltas, 3, limits=limits, image_sizes=sizes)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_equal_scores_go_by_anchor_and_then_by_class(sigmoid):
    logits, deltas = random_maps(1, 4, 4, sigmoid)
    logits = [level.clamp(-2, 2).round() for level in logits]
    if not sigmoid:  # logarithms of sums are not equal to the last bit, but those of sets are
        logits = [level * 0 + (level[:, -1:] > 0) * 4 for level in logits]
        for level in logits:
            level[:, 0] = -4
    # With thresholds and candidates in the middle of equals.
    options = {"score_threshold": 0.1, "candidates": 60, "keep": 25, "iou_threshold": 0.2}
    assert_as_the_operator(logits, deltas, 4, sigmoid, **options)


def test_a_class_far_above_the_others_keeps_its_place():
    """Scores that are all 1 in float32, told apart by what the others add up to."""
    logits, deltas = random_maps(1, 6, 3)
    generator = torch.Generator().manual_seed(0)
    for level in logits:
        level[:, -1] += 25 + 20 * torch.rand(level[:, -1].shape, generator=generator)
    expected = assert_as_the_operator(logits, deltas, 3, score_threshold=0.9, iou_threshold=0.9)
    assert (expected[1] == 1).sum() > 20


def test_logits_that_are_no_numbers_drop_what_the_operator_drops():
    for sigmoid in (False, True):
        logits, deltas = random_maps(1, 3, 3, sigmoid)
        logits[0][0, -1, 3, 4] = math.nan
        logits[1][0, -2, 1, 2] = math.nan
        deltas[0][0, 2, 5] = math.inf
        deltas[2][0, :, 0] = math.nan
        assert_as_the_operator(logits, deltas, 3, sigmoid, score_threshold=0.05)


class Head(nn.Module):
    """A detector of several classes that calls the operator in its labelled forms."""

    grid = AnchorGrid(strides=(16,), sizes=((48, (64, 32)),))

    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        self.logits = nn.Conv2d(3, 2 * (5 if activation == "softmax" else 4), 16, stride=16)
        self.deltas = nn.Conv2d(3, 2 * 4, 16, stride=16)

    def forward(self, images):
        maps = [4 * self.logits(images)], [self.deltas(images)]
        options = {"classes": 4, "activation": self.activation, "score_threshold": 0.3}
        size = tuple(images.shape[2:])
        found = ops.decode_detections(
            *maps, self.grid, image_sizes=[size], box_weights=(10, 10, 5, 5), **options
        )
        padded = ops.decode_detections(
            *maps, self.grid, padded=True, keep=9, return_indices=True, **options
        )
        return *found, *padded


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_model_of_several_classes_is_exported_with_free_sizes(tmp_path, activation):
    torch.manual_seed(0)
    for results in check_exported(Head(activation).eval(), tmp_path / "head.onnx"):
        assert len(results) == 9
        assert len(results[3].unique()) > 2  # labels
