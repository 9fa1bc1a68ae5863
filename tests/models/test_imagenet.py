import pytest
import torch
import torch.nn.functional as F

from s3fd.models import S3FD
from s3fd.models.imagenet import initialize_from_imagenet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WIDTHS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
POOLS = (4, 9, 16, 23, 30)


def random_features():
    generator = torch.Generator().manual_seed(0)
    state, inputs = {}, 3
    for index, width in zip(INDICES, WIDTHS, strict=True):
        scale = (2 / (9 * inputs)) ** 0.5
        weight = torch.randn(width, inputs, 3, 3, generator=generator)
        state[f"features.{index}.weight"] = scale * weight
        state[f"features.{index}.bias"] = 0.1 * torch.randn(width, generator=generator)
        inputs = width
    return state


def blank_features():
    return {name: torch.zeros(1).expand(tensor.shape) for name, tensor in random_features().items()}


def classifier(first=None):
    """Values that differ everywhere, in a file of a few kilobytes: overlapping rows."""
    first = torch.arange(4096.0 + 25088) if first is None else first
    second = torch.arange(4096.0 + 4096)
    return {
        "classifier.0.weight": first.as_strided((4096, 25088), (1, 1)),
        "classifier.0.bias": first[:4096],
        "classifier.3.weight": second.as_strided((4096, 4096), (1, 1)),
        "classifier.3.bias": second[:4096],
        "classifier.6.weight": torch.zeros(1).expand(1000, 4096),
        "classifier.6.bias": torch.zeros(1000),
    }


@pytest.fixture(scope="module")
def features():
    return random_features()


@pytest.fixture(scope="module")
def file(features, tmp_path_factory):
    path = tmp_path_factory.mktemp("imagenet") / "vgg16.pth"
    torch.save(features, path)
    return path


def original_conv5_3(state, image, mean, std):
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
    x = (image / 255 - mean) / std
    for index in range(30):
        if index in INDICES:
            bias = state[f"features.{index}.bias"]
            x = F.conv2d(x, state[f"features.{index}.weight"], bias, padding=1)
        else:
            x = F.max_pool2d(x, 2) if index in POOLS else F.relu(x)
    return x


@pytest.mark.parametrize("scale", [1.0, 0.02])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize(
    ("mean", "std"), [(MEAN, STD), ((0.48235, 0.45882, 0.40784), (1 / 255,) * 3)]
)
@torch.no_grad()
def test_an_image_gives_the_features_that_it_gave_in_the_classifier(
    file, features, order, scale, mean, std
):
    # The mean of that network: with it, the padding means the same in both.
    ours = tuple(255 * m for m in mean)
    model = S3FD(
        "vgg16", channel_order=order, mean=ours if order == "RGB" else ours[::-1], scale=scale
    )
    initialize_from_imagenet(model, file, mean=mean, std=std)
    image = torch.randint(0, 256, (1, 3, 64, 96), generator=torch.Generator().manual_seed(1))
    expected = F.normalize(original_conv5_3(features, image, mean, std), dim=1) * 5
    actual = model.backbone(model.preprocess(image.float()))[2]
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_another_mean_goes_into_the_bias_of_the_first_layer(file, features):
    model = S3FD("vgg16", channel_order="BGR", mean=(104.0, 117.0, 123.0))
    initialize_from_imagenet(model, file)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    x = (image / 255 - mean) / std
    expected = F.conv2d(x, features["features.0.weight"], features["features.0.bias"])
    actual = model.backbone.conv1_1(model.preprocess(image))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_fc6_and_fc7_are_sampled_from_the_classifier(tmp_path):
    torch.save({**blank_features(), **classifier()}, tmp_path / "vgg16.pth")
    model = S3FD("vgg16")
    layers = initialize_from_imagenet(model, tmp_path / "vgg16.pth")
    assert layers[0] == "conv1_1"
    assert layers[-2:] == ("fc6", "fc7")
    fc6, fc7 = model.backbone.fc6, model.backbone.fc7
    channel, (row, column) = (
        torch.arange(512.0),
        torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij"),
    )
    inputs = 49 * channel[:, None, None] + 7 * 3 * row + 3 * column  # in the flattened 7 x 7 maps
    outputs = 4 * torch.arange(1024.0)
    assert torch.equal(fc6.weight, outputs[:, None, None, None] + inputs)
    assert torch.equal(fc6.bias, outputs)
    assert torch.equal(fc7.weight[:, :, 0, 0], outputs[:, None] + outputs)
    assert torch.equal(fc7.bias, outputs)


@pytest.mark.parametrize("nan", [False, True], ids=["no classifier", "a classifier of NaN"])
def test_without_a_classifier_fc6_and_fc7_stay_as_they_are(tmp_path, nan):
    state = blank_features()
    if nan:
        state |= classifier(first=torch.full((4096 + 25088,), torch.nan))
    torch.save(state, tmp_path / "vgg16.pth")
    model = S3FD("vgg16")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    layers = initialize_from_imagenet(model, tmp_path / "vgg16.pth")
    assert len(layers) == 13
    assert not {"fc6", "fc7"} & set(layers)
    for name, tensor in model.state_dict().items():
        initialized = name.split(".")[1] in layers
        assert torch.equal(tensor, before[name]) != (initialized and name.endswith("weight")), name


def test_another_network_is_named(tmp_path):
    state = blank_features()
    del state["features.28.bias"]
    state["features.34.weight"] = torch.zeros(512, 512, 3, 3)
    state["features.5.weight"] = torch.zeros(64)
    torch.save(state, tmp_path / "vgg19.pth")
    with pytest.raises(ValueError, match=r"vgg19\.pth: .*torchvision's layout") as error:
        initialize_from_imagenet(S3FD("vgg16"), tmp_path / "vgg19.pth")
    message = str(error.value)
    assert "missing 'features.28.bias'" in message
    assert "unexpected 'features.34.weight'" in message
    assert "'features.5.weight' is float32 [64] instead of float32 [128, 64, 3, 3]" in message


def test_a_part_of_a_classifier_is_named(tmp_path):
    state = {**blank_features(), "classifier.3.bias": torch.zeros(4096)}
    torch.save(state, tmp_path / "vgg16.pth")
    with pytest.raises(ValueError, match=r"missing 'classifier.0.weight', 'classifier.0.bias'"):
        initialize_from_imagenet(S3FD("vgg16"), tmp_path / "vgg16.pth")


def test_an_error_leaves_the_model_as_it_was(tmp_path):
    model = S3FD("vgg16")
    before = model.backbone.conv1_1.weight.clone()
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        initialize_from_imagenet(model, tmp_path / "missing.pth")
    assert torch.equal(model.backbone.conv1_1.weight, before)


def test_only_vgg16_starts_from_vgg16(file):
    with pytest.raises(ValueError, match="model: expected the backbone 'vgg16', got 'light'"):
        initialize_from_imagenet(S3FD("light"), file)
    with pytest.raises(ValueError, match="mean, std: expected 3 numbers each"):
        initialize_from_imagenet(S3FD("vgg16"), file, std=(1.0, 1.0, 0.0))
