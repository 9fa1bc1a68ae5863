from dataclasses import replace

import pytest
import torch

from s3fd.data import Augmentation, TrainingBatches, read_photos
from s3fd.models import S3FD
from s3fd.training.distributed import Processes
from s3fd.training.gradient import StepGradient
from s3fd.training.loss import DetectionLoss
from s3fd.training.precision import Precision

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def batch(data):
    """Seven images."""
    batches = TrainingBatches(
        read_photos(data, "train").photos,
        steps=1, batch_size=7, input_size=64, seed=3, augmentation=Augmentation(),
    )  # fmt: skip
    return batches[0]


def gradients(model, batch, parts):
    model.zero_grad()
    compute = StepGradient(
        model, model, DetectionLoss(model.grid), Precision("float32", CPU), Processes(CPU), parts
    )
    losses = compute(batch)
    return losses, [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("parts", [2, 3, 7])
def test_the_parts_of_a_batch_give_the_gradient_of_the_whole(batch, parts):
    torch.manual_seed(0)
    # Batch norms see one part at a time: here they see none. In float64, no rounding decides on
    # which side of a ReLU an activation lies.
    model = S3FD("light").double().eval()
    losses, whole = gradients(model, batch, parts=1)
    losses_of_parts, in_parts = gradients(model, batch, parts)
    torch.testing.assert_close(losses_of_parts, losses)
    scale = max(float(expected.abs().max()) for expected in whole)
    for expected, got in zip(whole, in_parts, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-7 * scale)


def test_the_losses_are_those_of_the_paper(batch):
    torch.manual_seed(0)
    model = S3FD("light").eval()
    losses, whole = gradients(model, batch, parts=1)
    loss = DetectionLoss(model.grid)
    boxes = batch.boxes.split(batch.counts)
    matched = loss.match(
        model.grid.feature_sizes((64, 64)), boxes, batch.ignore.split(batch.ignore_counts)
    )
    plain = loss(*model(model.preprocess(batch.images)), boxes, matched)
    torch.testing.assert_close(losses, plain.detach())
    model.zero_grad()
    (plain[0] + 4 * plain[1]).backward()
    for expected, got in zip(model.parameters(), whole, strict=True):
        torch.testing.assert_close(got, expected.grad)


@pytest.mark.parametrize("options", [{"fc6_padding": 3, "pools": "floor"}, {"pools": "third_ceil"}])
def test_published_networks_whose_maps_are_smaller_than_the_grid_are_trained(batch, options):
    torch.manual_seed(0)
    model = S3FD("vgg16", **options).eval()
    images = torch.zeros(1, 3, 72, 72, dtype=torch.uint8)
    sizes = [(x.shape[-2], x.shape[-1]) for x in model(model.preprocess(images))[0]]
    assert sizes != model.grid.feature_sizes((72, 72))
    larger = replace(batch, images=torch.nn.functional.pad(batch.images, (0, 8, 0, 8)))
    losses, whole = gradients(model, larger, parts=2)
    assert torch.isfinite(losses).all()
    assert (losses > 0).all()
    assert all(torch.isfinite(gradient).all() for gradient in whole)
