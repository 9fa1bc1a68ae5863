import pytest
import torch

from s3fd.models import S3FD
from s3fd.ops import decode_boxes
from s3fd.training.box_fit import iou_loss
from s3fd.training.loss import DetectionLoss, flatten_maps

KINDS = ("giou", "diou", "eiou")


def pairs(count=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(2, count, 2, generator=generator, dtype=torch.float64) * 50
    sizes = 5 + torch.rand(2, count, 2, generator=generator, dtype=torch.float64) * 40
    boxes = torch.cat([corners, corners + sizes], dim=-1)
    return boxes[0], boxes[1]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_boxes_have_no_loss(kind):
    boxes, _ = pairs()
    assert iou_loss(boxes, boxes, kind).abs().max() < 1e-8


@pytest.mark.parametrize(("kind", "expected"), [
    # Squares of 10 px, 5 px apart: IoU 50 / 150, the box around both is 15 x 10.
    ("giou", 2 / 3), ("diou", 2 / 3 + 25 / 325), ("eiou", 2 / 3 + 25 / 325),
])  # fmt: skip
def test_losses_are_those_of_their_papers(kind, expected):
    first, second = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])
    assert iou_loss(first, second, kind).item() == pytest.approx(expected, abs=1e-6)


def test_eiou_adds_what_width_and_height_differ():
    wide, square = torch.tensor([[0.0, 0, 20, 10]]), torch.tensor([[5.0, 0, 15, 10]])
    distance = iou_loss(wide, square, "diou")
    shape = iou_loss(wide, square, "eiou")
    assert (shape - distance).item() == pytest.approx(100 / 400, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_far_apart_are_drawn_together(kind):
    predicted = torch.tensor([[0.0, 0, 10, 10]], requires_grad=True)
    loss = iou_loss(predicted, torch.tensor([[100.0, 0, 110, 10]]), kind)
    loss.sum().backward()
    assert loss.item() >= 1
    assert predicted.grad[0, [0, 2]].sum() < 0  # to the right


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_right(kind):
    predicted, target = pairs(8)
    assert torch.autograd.gradcheck(lambda x: iou_loss(x, target, kind), predicted.requires_grad_())


def maps(seed):
    torch.manual_seed(seed)
    model = S3FD("light")
    logits, deltas = model(torch.rand(2, 3, 128, 128) * 255 - 120)
    return model.grid, logits, deltas


BOXES = [torch.tensor([[20.0, 30, 60, 75], [0, 0, 9, 11]]), torch.tensor([[3.0, 3, 90, 120]])]
NOTHING = [torch.zeros(0, 4)] * 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_box_loss_is_the_mean_over_positives(kind):
    grid, logits, deltas = maps(0)
    loss = DetectionLoss(grid, box_loss=kind)
    matched = loss.match(grid.feature_sizes((128, 128)), BOXES, NOTHING)
    anchors, offsets = grid.anchors(grid.feature_sizes((128, 128))), flatten_maps(deltas, 4)
    expected = []
    for image, anchor in (matched >= 0).nonzero().tolist():
        face = BOXES[image][matched[image, anchor]]
        box = decode_boxes(offsets[image, anchor][None], anchors[anchor][None])
        expected.append(iou_loss(box, face[None], kind).item())
    class_loss, box_loss = loss(logits, deltas, BOXES, matched).tolist()
    assert box_loss == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    assert class_loss == DetectionLoss(grid)(logits, deltas, BOXES, matched)[0].item()


def test_a_batch_without_faces_has_no_loss():
    grid, logits, deltas = maps(2)
    loss = DetectionLoss(grid, box_loss="giou")
    matched = loss.match(grid.feature_sizes((128, 128)), NOTHING, NOTHING)
    total = loss(logits, deltas, NOTHING, matched)
    assert total.tolist() == [0, 0]
    total.sum().backward()


def test_a_network_that_has_learned_nothing_yet_gives_a_finite_loss():
    grid, logits, deltas = maps(3)
    loss = DetectionLoss(grid, box_loss="eiou")
    matched = loss.match(grid.feature_sizes((128, 128)), BOXES, NOTHING)
    total = loss(logits, [level + 1000.0 for level in deltas], BOXES, matched)
    assert torch.isfinite(total).all()
