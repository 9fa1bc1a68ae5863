import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from s3fd.analysis import Extent, Predictions, receptive_fields
from s3fd.models import S3FD
from s3fd.models.checkpoint import empty_model
from s3fd.models.s3fd import ModelConfig
from s3fd.models.vgg16 import L2Norm
from s3fd.ops import AnchorGrid

# Table 1 of the paper: conv3_3, conv4_3, conv5_3, conv_fc7, conv6_2, conv7_2.
PAPER = [48, 108, 228, 340, 468, 724]


def one_channel(module):
    """The same layers, and so the same fields, with one channel each, all of them alive."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            options = ("kernel_size", "stride", "padding", "dilation")
            thin = nn.Conv2d(1, 1, **{option: getattr(child, option) for option in options})
            nn.init.constant_(thin.weight, 1 / thin.weight.numel())
            nn.init.constant_(thin.bias, 1.0)
            setattr(module, name, thin)
        elif isinstance(child, L2Norm):
            setattr(module, name, nn.Identity())  # it looks at one cell alone
        else:
            one_channel(child)
    return module


def vgg16(**options):
    model = one_channel(empty_model(ModelConfig("vgg16", **options))).eval()

    def network(noise):
        logits, deltas = model.head(model.backbone(noise))
        return [torch.cat(level, dim=1) for level in zip(logits, deltas, strict=True)]

    return receptive_fields(network, AnchorGrid.s3fd(), channels=1, samples=1)


def closed_form(*, fc6_dilation):
    """Side of the field of each level: every layer adds (kernel - 1) * dilation input strides."""
    convolution, pool = [3, 1, 1], [2, 2, 1]
    stages = [
        [*[convolution] * 2, pool, *[convolution] * 2, pool, *[convolution] * 3],
        [pool, *[convolution] * 3],
        [pool, *[convolution] * 3],
        [pool, [3, 1, fc6_dilation], [1, 1, 1]],
        [[1, 1, 1], [3, 2, 1]],
        [[1, 1, 1], [3, 2, 1]],
    ]
    field, stride, fields = 1, 1, []
    for stage in stages:
        for kernel, step, dilation in stage:
            field += (kernel - 1) * dilation * stride
            stride *= step
        fields.append(field + 2 * stride)  # the head's 3 x 3 convolution
    return fields


def one_field(layer, stride=1, **options):
    (field,) = receptive_fields(lambda x: [layer(x)], AnchorGrid((stride,), (4,)), **options)
    return field


def test_the_fields_of_vgg16_are_those_of_the_papers_table():
    fields = vgg16()
    assert [field.theoretical.size for field in fields] == PAPER == closed_form(fc6_dilation=1)
    assert [field.theoretical.centre for field in fields[:4]] == [(0, 0)] * 4
    # A stride of 2 looks from the first of two cells, the anchor sits between both.
    assert [field.theoretical.centre for field in fields[4:]] == [(-16, -16), (-48, -48)]


def test_a_dilated_fc6_sees_more():
    fields = vgg16(fc6_padding=6, fc6_dilation=6, pools="third_ceil")
    sizes = [field.theoretical.size for field in fields]
    assert sizes == closed_form(fc6_dilation=6) == [48, 108, 228, 660, 788, 1044]


def test_the_padding_of_the_released_model_moves_fields_from_their_anchors():
    fields = vgg16(fc6_padding=3, pools="floor")
    assert [field.theoretical.size for field in fields] == PAPER
    centres = [field.theoretical.centre[0] for field in fields]
    assert centres == [0, 0, 0, -64, -64 - 16, -64 - 48]


def test_a_field_is_exact_where_weights_are_zero():
    layer = nn.Conv2d(3, 2, kernel_size=7, padding=3)
    with torch.no_grad():
        layer.weight[..., [0, 1, 6]] = 0  # columns, so that no gradient arrives there
    field = one_field(layer)
    assert field.theoretical == Extent(-3.5, -3.5, 3.5, 3.5)
    assert not field.gradient[:, 0 : int(-field.input.left - 1.5)].any()


def test_a_dilated_kernel_is_followed_across_its_holes():
    field = one_field(nn.Conv2d(3, 2, kernel_size=3, dilation=9, padding=9))
    assert field.theoretical == Extent(-9.5, -9.5, 9.5, 9.5)


def test_a_top_down_path_brings_the_field_of_the_coarser_level():
    fine = nn.Conv2d(3, 4, kernel_size=2, stride=2)
    coarse = nn.Conv2d(4, 4, kernel_size=2, stride=2)

    def network(x):
        c1 = fine(x)
        c2 = coarse(c1)
        return [c1 + F.interpolate(c2, scale_factor=2), c2]

    first, second = receptive_fields(network, AnchorGrid((2, 4), (8, 16)))
    assert first.theoretical in (Extent(-1, -1, 3, 3), Extent(-3, -3, 1, 1))
    assert second.theoretical == Extent(-2, -2, 2, 2)
    assert second.anchors == ((16, 16),)


def test_what_looks_at_the_whole_input_has_no_bounds():
    def network(x):
        return x * x.mean(dim=(2, 3), keepdim=True)

    field = one_field(network, largest_input=32)
    assert field.theoretical is None
    assert field.gradient.shape == (32, 32)


def test_fields_differ_in_height_and_width():
    field = one_field(nn.Conv2d(3, 2, kernel_size=(3, 9), padding=(1, 4)))
    assert field.theoretical == Extent(-4.5, -1.5, 4.5, 1.5)
    assert field.theoretical.size == 9


def test_the_gradient_of_a_linear_network_is_its_kernels_convolved():
    kernel = torch.tensor([1.0, 2.0, 1.0, 0.5])
    layer = nn.Conv2d(1, 1, kernel_size=4, padding=2, bias=False)
    with torch.no_grad():
        layer.weight[0, 0] = kernel[:, None] * kernel
    field = one_field(lambda x: layer(layer(x)), channels=1, samples=2)
    profile = np.convolve(kernel, kernel)
    expected = np.outer(profile, profile) / (profile**2).sum()
    rows = slice(*np.flatnonzero(field.gradient.any(axis=1))[[0, -1]] + [0, 1])
    assert field.gradient[rows, rows] == pytest.approx(expected)
    assert (field.gradient**2).sum() == pytest.approx(1)


@pytest.mark.parametrize(("energy", "side"), [(0.03, 1), (0.35, 3), (0.37, 5), (0.99, 5)])
def test_the_effective_field_is_the_square_that_holds_the_energy(energy, side):
    field = one_field(nn.AvgPool2d(5, stride=1, padding=2), energy=energy)
    assert field.effective.size == pytest.approx(side)
    assert field.effective.centre == pytest.approx((0, 0))


def test_the_effective_field_lies_in_the_theoretical_one_and_is_smaller():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(8)]
    field = one_field(nn.Sequential(*layers).eval())
    assert field.theoretical.size == 17
    assert 3 < field.effective.size < 0.8 * 17


def test_the_same_seed_gives_the_same_field():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Conv2d(3, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2))
    first, again, other = (one_field(layer, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.gradient, again.gradient)
    assert not np.array_equal(first.gradient, other.gradient)


def test_predictions_are_the_class_and_box_maps_of_a_model():
    maps = Predictions(S3FD("light"))(torch.randn(1, 3, 128, 128))
    assert [level.shape[1] for level in maps] == [8, 6, 6, 6, 6, 6]


def test_what_is_no_pyramid_in_evaluation_mode_is_refused():
    convolution = nn.Conv2d(3, 2, kernel_size=3, padding=1)
    grid = AnchorGrid((1,), (4,))
    wrong = [
        (nn.Conv2d(3, 2, kernel_size=3), ValueError, r"call network\.eval"),
        (convolution, TypeError, "expected a list of maps"),
        (lambda x: [x, x], ValueError, "expected 1 maps, one a level, got 2"),
        (lambda x: [x[0]], ValueError, r"expected a map \[1, C, H, W\] of level 0"),
        (lambda x: [x[:, :, :0]], ValueError, "with a cell every 1 pixels"),
        (lambda x: [1 / x], ValueError, "level 0 is not finite"),
        (lambda x: [x * 0], ValueError, "squared sum of 0"),
    ]
    convolution.eval()
    for network, error, message in wrong:
        with pytest.raises(error, match=message):
            receptive_fields(network, grid)


def test_options_out_of_their_range_are_named():
    for options in ({"energy": 1.0}, {"samples": 0}, {"largest_input": 8}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}: expected"):
            receptive_fields(lambda x: [x], AnchorGrid((16,), (4,)), **options)
