import pytest
import torch

from s3fd.models import S3FD
from s3fd.ops import decode_boxes, max_out_background
from s3fd.training.box_fit import iou_and_loss
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
    iou, loss = iou_and_loss(boxes, boxes, kind)
    torch.testing.assert_close(iou, torch.ones(50, dtype=torch.float64))
    assert loss.abs().max() < 1e-8


@pytest.mark.parametrize(("kind", "expected"), [
    # Squares of 10 px, 5 px apart: IoU 50 / 150, the box around both is 15 x 10.
    ("giou", 2 / 3), ("diou", 2 / 3 + 25 / 325), ("eiou", 2 / 3 + 25 / 325),
])  # fmt: skip
def test_losses_are_those_of_their_papers(kind, expected):
    first, second = torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[5.0, 0, 15, 10]])
    assert iou_and_loss(first, second, kind)[1].item() == pytest.approx(expected, abs=1e-6)


def test_eiou_adds_what_width_and_height_differ():
    wide, square = torch.tensor([[0.0, 0, 20, 10]]), torch.tensor([[5.0, 0, 15, 10]])
    _, distance = iou_and_loss(wide, square, "diou")
    _, shape = iou_and_loss(wide, square, "eiou")
    assert (shape - distance).item() == pytest.approx(100 / 400, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_far_apart_are_drawn_together(kind):
    predicted = torch.tensor([[0.0, 0, 10, 10]], requires_grad=True)
    iou, loss = iou_and_loss(predicted, torch.tensor([[100.0, 0, 110, 10]]), kind)
    loss.sum().backward()
    assert iou.item() == 0
    assert predicted.grad[0, [0, 2]].sum() < 0  # to the right


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_right(kind):
    predicted, target = pairs(8)
    assert torch.autograd.gradcheck(
        lambda x: iou_and_loss(x, target, kind)[1], predicted.requires_grad_()
    )


def maps(seed):
    torch.manual_seed(seed)
    model = S3FD("light")
    logits, deltas = model(torch.rand(2, 3, 128, 128) * 255 - 120)
    return model.grid, logits, deltas


BOXES = [torch.tensor([[20.0, 30, 60, 75], [0, 0, 9, 11]]), torch.tensor([[3.0, 3, 90, 120]])]
NOTHING = [torch.zeros(0, 4)] * 2


def test_the_iou_loss_is_the_mean_over_positives():
    grid, logits, deltas = maps(0)
    plain, both = DetectionLoss(grid), DetectionLoss(grid, iou_loss="eiou", iou_weight=3.0)
    alone = DetectionLoss(grid, iou_loss="eiou", iou_weight=3.0, smooth_l1_weight=0.0)
    matched = plain.match(grid.feature_sizes((128, 128)), BOXES, NOTHING)
    first, second, third = (loss(logits, deltas, BOXES, matched) for loss in (plain, both, alone))
    torch.testing.assert_close(second - first, third * torch.tensor([0.0, 1.0]))
    assert third[1] > 0


def test_scores_that_follow_the_fit_are_cross_entropy_with_a_softer_target():
    grid, logits, deltas = maps(1)
    plain, soft = DetectionLoss(grid), DetectionLoss(grid, fit_scores=1.0)
    matched = plain.match(grid.feature_sizes((128, 128)), BOXES, NOTHING)
    more = soft(logits, deltas, BOXES, matched) - plain(logits, deltas, BOXES, matched)
    expected, kept = 0.0, int(plain.counts(matched)[0])
    anchors = grid.anchors(grid.feature_sizes((128, 128)))
    joined = flatten_maps([max_out_background(level) for level in logits], 2)
    offsets = flatten_maps(deltas, 4)
    for image, anchor in (matched >= 0).nonzero().tolist():
        face = BOXES[image][matched[image, anchor]]
        box = decode_boxes(offsets[image, anchor][None], anchors[anchor][None])
        quality = iou_and_loss(box, face[None], "diou")[0]
        log_p = joined[image, anchor].log_softmax(0)
        expected += (-quality * log_p[1] - (1 - quality) * log_p[0] + log_p[1]).item()
    assert more[0].item() == pytest.approx(expected / kept, rel=1e-4)
    assert more[1] == 0


def test_a_batch_without_faces_has_no_loss():
    grid, logits, deltas = maps(2)
    loss = DetectionLoss(grid, iou_loss="giou", fit_scores=0.5)
    matched = loss.match(grid.feature_sizes((128, 128)), NOTHING, NOTHING)
    total = loss(logits, deltas, NOTHING, matched)
    assert total.tolist() == [0, 0]
    total.sum().backward()


def test_a_network_that_has_learned_nothing_yet_gives_a_finite_loss():
    grid, logits, deltas = maps(3)
    loss = DetectionLoss(grid, iou_loss="eiou", fit_scores=1.0)
    matched = loss.match(grid.feature_sizes((128, 128)), BOXES, NOTHING)
    total = loss(logits, [level + 1000.0 for level in deltas], BOXES, matched)
    assert torch.isfinite(total).all()
