import pytest
import torch

from s3fd.models import S3FD
from s3fd.ops import encode_boxes
from s3fd.training.loss import detection_loss, flatten_maps


def test_maps_are_joined_in_the_order_of_the_anchors():
    fine = torch.arange(2 * 4 * 2 * 3).reshape(2, 4, 2, 3)
    coarse = 100 + torch.arange(2 * 4).reshape(2, 4, 1, 1)
    joined = flatten_maps([fine, coarse], channels=4)
    assert joined.shape == (2, 7, 4)
    assert joined[1, 4].tolist() == fine[1, :, 1, 1].tolist()
    assert joined[1, 6].tolist() == coarse[1, :, 0, 0].tolist()


def test_several_shapes_a_cell_are_joined_shape_major():
    level = torch.arange(6 * 1 * 2).reshape(1, 6, 1, 2)
    joined = flatten_maps([level], channels=2)
    assert joined[0].tolist() == [[0, 2], [4, 6], [8, 10], [1, 3], [5, 7], [9, 11]]


def maps(model, size, face, anchors, matched):
    """Head maps that say exactly what `matched` says."""
    delta = encode_boxes(face.expand(len(anchors), 4), anchors, (0.1, 0.2))
    logits, deltas, start = [], [], 0
    for (height, width), classes in zip(
        model.grid.feature_sizes((size, size)), (4, 2, 2, 2, 2, 2), strict=True
    ):
        rows = slice(start, start + height * width)
        positive = (matched[rows] >= 0).reshape(1, 1, height, width)
        level = torch.where(positive, -20.0, 20.0).expand(1, classes, height, width).clone()
        level[:, -1:] *= -1
        logits.append(level)
        deltas.append(delta[rows].T.reshape(1, 4, height, width))
        start += height * width
    return logits, deltas


def test_perfect_maps_have_no_loss_and_wrong_ones_have_some():
    model = S3FD("light")
    sizes = model.grid.feature_sizes((128, 128))
    face = torch.tensor([[20.0, 30.0, 60.0, 75.0]])
    anchors = model.grid.anchors(sizes)
    matched = model.grid.match(sizes, [face])[0]
    assert (matched == 0).sum() > 0
    logits, deltas = maps(model, 128, face, anchors, matched)
    nothing = [torch.zeros(0, 4)]
    class_loss, box_loss = detection_loss(logits, deltas, model.grid, [face], nothing)
    assert class_loss < 1e-6
    assert box_loss < 1e-6
    class_loss, box_loss = detection_loss(logits, deltas, model.grid, [face + 40], nothing)
    assert class_loss > 1
    assert box_loss > 1


@pytest.mark.parametrize("faces", [torch.zeros(0, 4), torch.tensor([[5.0, 5.0, 5.0, 5.0]])])
def test_a_batch_without_faces_gives_zero_loss_and_zero_gradient(faces):
    model = S3FD("light")
    logits, deltas = model(model.preprocess(torch.zeros(2, 3, 64, 64)))
    loss = detection_loss(logits, deltas, model.grid, [faces] * 2, [torch.zeros(0, 4)] * 2)
    sum(loss).backward()
    assert sum(loss) == 0
    assert all(
        p.grad is None or (torch.isfinite(p.grad).all() and (p.grad == 0).all())
        for p in model.parameters()
    )
