import pytest
import torch
import torch.nn.functional as F

from s3fd.models import S3FD
from s3fd.models.vgg16 import VGG16Backbone


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return VGG16Backbone()


def meta_features(size, **options):
    with torch.device("meta"):
        return VGG16Backbone(**options)(torch.empty(2, 3, *size))


def test_the_backbone_has_the_papers_levels():
    features = meta_features((640, 640))
    assert [tuple(level.shape) for level in features] == [
        (2, 256, 160, 160),
        (2, 512, 80, 80),
        (2, 512, 40, 40),
        (2, 1024, 20, 20),
        (2, 512, 10, 10),
        (2, 256, 5, 5),
    ]
    assert tuple(level.shape[1] for level in features) == VGG16Backbone.channels


def test_ceil_pools_give_the_maps_that_the_grid_expects():
    with torch.device("meta"):
        model = S3FD("vgg16")
        for size in ((32, 96), (224, 416), (640, 480)):
            _, deltas = model(torch.empty(1, 3, *size))
            sizes = [tuple(level.shape[-2:]) for level in deltas]
            assert sizes == [tuple(size) for size in model.grid.feature_sizes(size)]


@pytest.mark.parametrize(
    ("options", "cells"), [((1, 1), 20), ((3, 1), 24), ((6, 6), 20), ((0, 1), 18)]
)
def test_fc6_grows_where_its_padding_exceeds_its_dilation(options, cells):
    padding, dilation = options
    features = meta_features((640, 640), fc6_padding=padding, fc6_dilation=dilation)
    assert features[3].shape[-2:] == (cells, cells)


@pytest.mark.parametrize(
    ("pools", "sizes"),
    [
        ("ceil", [(67, 68), (34, 34), (17, 17), (9, 9), (5, 5), (3, 3)]),
        ("floor", [(66, 67), (33, 33), (16, 16), (8, 8), (4, 4), (2, 2)]),
        ("third_ceil", [(66, 67), (33, 34), (16, 17), (8, 8), (4, 4), (2, 2)]),
    ],
)
def test_pools_round_as_told(pools, sizes):
    features = meta_features((267, 269), pools=pools)
    assert [tuple(level.shape[-2:]) for level in features] == sizes


def test_the_norms_start_at_10_8_and_5(backbone):
    images = torch.rand(1, 3, 64, 64) * 255 - 128
    with torch.no_grad():
        features = backbone(images)
    for level, scale in zip(features, (10.0, 8.0, 5.0), strict=False):
        norm = torch.linalg.vector_norm(level, dim=1)
        torch.testing.assert_close(norm, torch.full_like(norm, scale))


def test_new_convolutions_start_from_xavier_and_no_bias(backbone):
    for name, layer in backbone.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            fan_out, fan_in, height, width = layer.weight.shape
            bound = (6 / ((fan_in + fan_out) * height * width)) ** 0.5
            assert 0.99 * bound < layer.weight.abs().max() <= bound, name
            assert not layer.bias.any(), name


def test_every_parameter_learns(backbone):
    features = backbone(torch.rand(1, 3, 64, 64) * 255 - 128)
    sum(F.mse_loss(level, torch.ones_like(level)) for level in features).backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name
    backbone.zero_grad()


@pytest.mark.parametrize(("pools", "smallest"), [("ceil", 1), ("third_ceil", 28), ("floor", 32)])
def test_an_image_that_the_pools_would_swallow_is_refused(pools, smallest):
    assert meta_features((smallest, smallest), pools=pools)[-1].shape[-1] >= 1
    if smallest > 1:
        with pytest.raises(ValueError, match=rf"x: expected at least {smallest} x {smallest}"):
            meta_features((64, smallest - 1), pools=pools)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pools": "round"}, "pools: expected 'ceil', 'floor' or 'third_ceil'"),
        ({"fc6_padding": -1}, "fc6_padding: expected at least 0"),
        ({"fc6_dilation": 0}, "fc6_dilation: expected at least 1"),
    ],
)
def test_an_option_that_does_not_exist_is_refused(options, message):
    with torch.device("meta"), pytest.raises(ValueError, match=message):
        VGG16Backbone(**options)
