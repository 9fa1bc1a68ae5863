"""Models of users that call `s3fd.ops`, exported by torch.onnx.export."""

import math

import numpy as np
import onnxruntime
import pytest
import torch
from onnx_models import check_exported
from torch import nn

from s3fd import ops
from s3fd.export import onnx_translations
from s3fd.ops import AnchorGrid


class Head(nn.Module):
    """A detector with a level, which says what it finds in all forms that there are."""

    grid = AnchorGrid(strides=(16,), sizes=(48,), backgrounds=2)

    def __init__(self):
        super().__init__()
        self.logits = nn.Conv2d(3, 3, 16, stride=16)
        self.deltas = nn.Conv2d(3, 4, 16, stride=16)
        self.weight = nn.Parameter(torch.tensor([3.0, 4.0, 5.0]))

    def forward(self, images):
        x = ops.l2_normalize(images, self.weight)
        logits, deltas = [self.logits(x)], [self.deltas(x)]
        sizes = [tuple(images.shape[2:])]
        boxes, scores, splits = ops.decode_detections(
            logits, deltas, self.grid, image_sizes=sizes, score_threshold=0.2, iou_threshold=0.6
        )
        padded = ops.decode_detections(logits, deltas, self.grid, padded=True, keep=9)
        kept = ops.nms(boxes, scores, 0.1)
        few, count = ops.nms(boxes, scores, 0.1, padded=True, keep=40)
        return boxes, scores, splits, *padded, kept, few, count, ops.max_out_background(logits[0])


class OwnPipeline(nn.Module):
    """A detector of two classes that takes the operators one by one."""

    grid = AnchorGrid(strides=(16, (8, 32)), sizes=((48, (64, 32)), 20))

    def __init__(self):
        super().__init__()
        self.maps = nn.ModuleList(
            [nn.Conv2d(3, 2 * 6, 16, stride=16), nn.Conv2d(3, 6, (32, 8), stride=(32, 8))]
        )

    def forward(self, images):
        levels = [level(images) for level in self.maps]
        rows = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 6) for level in levels])
        anchors = self.grid.anchors([tuple(level.shape[2:]) for level in levels])
        boxes = ops.decode_boxes(rows[:, 2:], anchors, image_size=tuple(images.shape[2:]))
        scores, labels = rows[:, :2].max(dim=1)
        kept = ops.batched_nms(boxes, scores, labels, 0.2)
        return anchors, boxes[kept], labels[kept]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("make", [Head, OwnPipeline])
def test_a_model_that_calls_the_operators_is_exported_with_free_sizes(tmp_path, make):
    torch.manual_seed(0)
    for boxes, *_ in check_exported(make().eval(), tmp_path / "head.onnx"):
        assert len(boxes) > 5


class SoftlySuppressed(nn.Module):
    """What soft-NMS leaves of rows ``(x1, y1, x2, y2, score)``, in both of its forms."""

    def __init__(self, sigma=0.3, least=(0.001, 0.1)):
        super().__init__()
        self.sigma, self.least = sigma, least

    def forward(self, rows):
        boxes, scores = rows[:, :4], rows[:, 4]
        gaussian, linear = self.least
        return (
            *ops.soft_nms(boxes, scores, sigma=self.sigma, score_threshold=gaussian),
            *ops.soft_nms(boxes, scores, decay="linear", iou_threshold=0.3, score_threshold=linear),
        )


def exported_suppression(model, file):
    """The exported model, run by ONNX Runtime."""
    torch.onnx.export(
        model,
        (random_rows(50, seed=0),),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        custom_translation_table=onnx_translations(),
        opset_version=18,
        verbose=False,
    ).save(file)
    session = onnxruntime.InferenceSession(file)
    return lambda rows: session.run(None, {session.get_inputs()[0].name: rows.numpy()})


@pytest.fixture(scope="module")
def softly_suppressed(tmp_path_factory):
    return exported_suppression(SoftlySuppressed(), tmp_path_factory.mktemp("onnx") / "soft.onnx")


def random_rows(count, seed):
    """Boxes, every fifth of them degenerate in one way or another, with scores of few values."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator) * 60
    sides = 1 + torch.rand(count, 2, generator=generator) * 40
    rows = torch.cat([corners, corners + sides, corners[:, :1]], dim=1)
    rows[:, 4] = (rows[:, 4] / 6).round() / 10
    rows[::20, 2] = rows[::20, 0]
    rows[5::20] = rows[5::20][:, [2, 3, 0, 1, 4]]
    rows[10::20, 1], rows[15::20, 3] = math.nan, math.inf
    return rows


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("count", [0, 1, 2, 7, 300])
def test_what_soft_nms_leaves_is_what_the_exported_loop_leaves(softly_suppressed, count):
    rows = random_rows(count, seed=count)
    kept, at, kept_linearly, at_linearly = softly_suppressed(rows)
    expected = [value.numpy() for value in SoftlySuppressed()(rows)]
    np.testing.assert_array_equal(kept_linearly, expected[2])
    np.testing.assert_array_equal(at_linearly, expected[3])
    # Exponentials differ in their last bit, which tells apart what had equal scores.
    np.testing.assert_allclose(at, expected[1], rtol=1e-5)
    assert sorted(kept) == sorted(expected[0])


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_nothing_passes_the_exported_loop_whose_scores_are_low(softly_suppressed):
    rows = random_rows(40, seed=3)
    rows[:, 4] = 0.0005
    assert all(len(value) == 0 for value in softly_suppressed(rows))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_box_comes_out_of_the_exported_loop_once_though_its_like_fall_to_nothing(tmp_path):
    """Twins fall to exactly 0, which a threshold of 0 still lets out."""
    rows = torch.tensor([[0.0, 0, 10, 10, 0.9], [0, 0, 10, 10, 0.8], [50, 50, 60, 60, 0.5]])
    model = SoftlySuppressed(sigma=0.005, least=(0.0, 0.0))
    found = exported_suppression(model, tmp_path / "soft.onnx")(rows)
    for one, other in zip(found, model(rows), strict=True):
        np.testing.assert_array_equal(one, other.numpy())
    assert found[2].tolist() == [0, 2, 1]
