import pytest
import torch

from s3fd.models import S3FD
from s3fd.ops import AnchorGrid, encode_boxes
from s3fd.training.loss import DetectionLoss, flatten_maps

NOTHING = torch.zeros(0, 4)


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


def maps(grid, size, face, anchors, matched):
    """Head maps that say exactly what `matched` says."""
    delta = encode_boxes(face.expand(len(anchors), 4), anchors, (0.1, 0.2))
    logits, deltas, start = [], [], 0
    sizes = grid.feature_sizes((size, size))
    for (height, width), classes in zip(sizes, (4, 2, 2, 2, 2, 2), strict=True):
        rows = slice(start, start + height * width)
        positive = (matched[rows] >= 0).reshape(1, 1, height, width)
        level = torch.where(positive, -20.0, 20.0).expand(1, classes, height, width).clone()
        level[:, -1:] *= -1
        logits.append(level)
        deltas.append(delta[rows].T.reshape(1, 4, height, width))
        start += height * width
    return logits, deltas


def test_perfect_maps_have_no_loss_and_wrong_ones_have_some():
    grid = AnchorGrid.s3fd()
    loss = DetectionLoss(grid)
    sizes = grid.feature_sizes((128, 128))
    face = torch.tensor([[20.0, 30.0, 60.0, 75.0]])
    matched = loss.match(sizes, [face], [NOTHING])
    assert (matched == 0).sum() > 0
    logits, deltas = maps(grid, 128, face, grid.anchors(sizes), matched[0])
    assert (loss(logits, deltas, [face], matched) < 1e-6).all()
    elsewhere = loss.match(sizes, [face + 40], [NOTHING])
    assert (loss(logits, deltas, [face + 40], elsewhere) > 1).all()


@pytest.mark.parametrize("faces", [torch.zeros(0, 4), torch.tensor([[5.0, 5.0, 5.0, 5.0]])])
def test_a_batch_without_faces_gives_zero_loss_and_zero_gradient(faces):
    model = S3FD("light")
    loss = DetectionLoss(model.grid)
    matched = loss.match(model.grid.feature_sizes((64, 64)), [faces] * 2, [NOTHING] * 2)
    total = loss(*model(model.preprocess(torch.zeros(2, 3, 64, 64))), [faces] * 2, matched).sum()
    total.backward()
    assert total == 0
    assert all(
        p.grad is None or (torch.isfinite(p.grad).all() and (p.grad == 0).all())
        for p in model.parameters()
    )


@pytest.mark.parametrize("negative_ratio", [0.0, 1.5, 3.0, 1e9, float("inf")])
def test_the_counts_before_the_network_are_those_of_the_loss(negative_ratio):
    grid = AnchorGrid.s3fd()
    loss = DetectionLoss(grid, negative_ratio=negative_ratio)
    sizes = grid.feature_sizes((128, 96))
    boxes = [
        torch.tensor([[20.0, 30.0, 60.0, 75.0], [0.0, 0.0, 9.0, 11.0]]),
        NOTHING,
        torch.tensor([[3.0, 3.0, 90.0, 120.0]]),
    ]
    ignore = [NOTHING, NOTHING, torch.tensor([[0.0, 0.0, 96.0, 60.0]])]
    matched = loss.match(sizes, boxes, ignore)
    anchors = grid.anchors(sizes)
    splits = [0, 2, 2, 3]
    logits, deltas = torch.randn(3, len(anchors), 2), torch.randn(3, len(anchors), 4)
    _, _, _, counts = torch.ops.s3fd.multibox_loss(
        logits, deltas, anchors, torch.cat(boxes), splits, matched, negative_ratio, 0.1, 0.2
    )
    assert loss.counts(matched).tolist() == counts.tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_without_a_face_are_computed_in_float32_whatever_the_maps_are(dtype):
    grid = AnchorGrid.s3fd()
    loss = DetectionLoss(grid, empty_negatives=5)
    sizes = grid.feature_sizes((64, 64))
    matched = loss.match(sizes, [NOTHING], [NOTHING])
    # Differences of up to 80 000, which float16 does not hold.
    logits = [(torch.rand(1, 2, h, w) * 80_000 - 40_000).to(dtype) for h, w in sizes]
    deltas = [torch.zeros(1, 4, h, w, dtype=dtype) for h, w in sizes]
    answers = [loss([x.to(kind) for x in logits], deltas, [NOTHING], matched)
               for kind in (dtype, torch.float32)]  # fmt: skip
    assert torch.isfinite(answers[0]).all()
    torch.testing.assert_close(*answers, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_without_a_face_give_their_hardest_backgrounds(dtype):
    grid = AnchorGrid.s3fd()
    plain, loss = DetectionLoss(grid), DetectionLoss(grid, empty_negatives=5)
    sizes = grid.feature_sizes((64, 64))
    faces = [torch.tensor([[10.0, 10.0, 40.0, 44.0]]), NOTHING, NOTHING, NOTHING]
    left = torch.tensor([[0.0, 0.0, 32.0, 64.0]])
    matched = loss.match(sizes, faces, [NOTHING, NOTHING, left, NOTHING])
    matched[3] = -2  # nothing is known of this image
    logits = [torch.randn(4, 2, h, w, dtype=dtype, requires_grad=True) for h, w in sizes]
    deltas = [torch.randn(4, 4, h, w, dtype=dtype) for h, w in sizes]
    joined = flatten_maps(logits, 2)
    losses = joined.logsumexp(2) - joined[..., 0]  # [B, A], of a background
    hardest = [losses[b][matched[b] == -1].sort(descending=True).values[:5] for b in (1, 2)]
    (with_faces, _), (kept, _) = plain(logits, deltas, faces, matched), plain.counts(matched)
    expected = (with_faces * kept + torch.cat(hardest).sum()) / (kept + 10)
    assert loss.counts(matched).tolist() == [kept + 10, plain.counts(matched)[1]]
    class_loss, box_loss = loss(logits, deltas, faces, matched)
    torch.testing.assert_close(class_loss, expected)
    assert box_loss == plain(logits, deltas, faces, matched)[1]
    wanted = torch.autograd.grad(expected, logits, retain_graph=True)
    torch.testing.assert_close(torch.autograd.grad(class_loss, logits), wanted)


def test_no_image_has_more_backgrounds_than_anchors():
    grid = AnchorGrid.s3fd()
    loss = DetectionLoss(grid, empty_negatives=10**6)
    sizes = grid.feature_sizes((32, 32))
    matched = loss.match(sizes, [NOTHING], [NOTHING])
    assert loss.counts(matched).tolist() == [matched.numel(), 0]
    logits = [torch.zeros(1, 2, h, w) for h, w in sizes]
    class_loss, _ = loss(logits, [torch.zeros(1, 4, h, w) for h, w in sizes], [NOTHING], matched)
    torch.testing.assert_close(class_loss, torch.tensor(2.0).log())


def test_the_rule_of_matching_is_a_setting():
    grid = AnchorGrid.s3fd()
    sizes = grid.feature_sizes((128, 128))
    face = torch.tensor([[20.0, 30.0, 43.0, 54.0]])  # between the anchors of 16 and 32 px

    def positives(**settings):
        matched = DetectionLoss(grid, **settings).match(sizes, [face], [NOTHING])
        return int((matched >= 0).sum())

    ssd = positives(positive_iou=0.5, top_n=0)
    assert ssd < positives(top_n=0) < positives(top_n=40)
