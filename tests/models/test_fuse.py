"""Networks made ready for inference: fewer layers, the same maps."""

import copy

import pytest
import torch

from s3fd.models import S3FD, load_checkpoint, pretrained_path


def maps_of(model, images):
    with torch.inference_mode():
        logits, deltas = model(model.preprocess(images))
    return [*logits, *deltas]


@pytest.fixture
def images():
    return torch.randint(0, 256, (2, 3, 96, 160), dtype=torch.uint8)


@pytest.mark.parametrize("backbone", ["light", "vgg16"])
def test_a_fused_network_has_the_maps_of_before(images, backbone):
    torch.manual_seed(0)
    model = S3FD(backbone).eval()
    if backbone == "light":
        model = load_checkpoint(pretrained_path("light"))
    before = maps_of(model, images)
    assert model.fuse() is model
    for once, twice in zip(maps_of(model, images), maps_of(model.fuse(), images), strict=True):
        assert torch.equal(once, twice)
    for one, other in zip(before, maps_of(model, images), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-4)


def test_a_fused_network_has_one_convolution_a_level_and_no_norm(images):
    model = S3FD("light").fuse()
    assert len(model.head.joined) == model.grid.num_levels
    assert not len(model.head.logits)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    assert maps_of(copy.deepcopy(model), images)[0].shape == (2, 4, 24, 40)


def test_fused_maps_are_float32_in_any_precision(images):
    model = S3FD("light").fuse().to(torch.bfloat16)
    assert {level.dtype for level in maps_of(model, images)} == {torch.float32}
