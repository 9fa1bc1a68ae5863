"""Models of users that call `s3fd.ops`, exported by torch.onnx.export."""

import pytest
import torch
from onnx_models import check_exported
from torch import nn

from s3fd import ops
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
