"""Networks of Caffe's, made up: their maps against those of their own layers, run one by one."""

import pytest
import torch

from s3fd import FaceDetector
from s3fd.models import ModelConfig, load_checkpoint, save_checkpoint

LEVELS = ("conv_5/expand_", "Conv_1", "layer_19_2_2", "layer_19_2_3", "layer_19_2_4")
VGG16_LEVELS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")
SIZES = ((64, 96), (97, 142))


def write(path, content):
    path.write_bytes(content)
    return path


def photo(height, width):
    generator = torch.Generator().manual_seed(height)
    return torch.randint(0, 256, (2, 3, height, width), generator=generator, dtype=torch.uint8)


def assert_maps_are_those_of(model, caffe, layers, levels, size, suffix=""):
    """In double precision, where rounding hides nothing."""
    images = photo(*size)
    made = caffe.run(layers, images)
    model = model.double()
    with torch.inference_mode():
        logits, deltas = model(model.preprocess(images))
    for level, name in enumerate(levels):
        theirs = made[f"{name}_mbox_conf{suffix}"], made[f"{name}_mbox_loc{suffix}"]
        assert theirs[0].std() > 0.003
        torch.testing.assert_close(logits[level], theirs[0], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(deltas[level], theirs[1], atol=1e-4, rtol=1e-5)
    assert len(logits) == len(deltas) == len(levels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", ["trained", "deployed", "deployed with norms"])
def test_a_mobilenet_has_the_maps_of_its_layers(caffe, tmp_path, form, size):
    layers = {
        "trained": lambda: caffe.trained_mobilenet("SOFTMAX"),
        "deployed": lambda: caffe.deployed_mobilenet("Softmax"),
        "deployed with norms": lambda: caffe.deployed_mobilenet("Softmax", batch_norm=True),
    }[form]()
    model = load_checkpoint(write(tmp_path / "mod.caffemodel", caffe.caffemodel(layers)))
    assert_maps_are_those_of(model, caffe, layers, LEVELS, size, "-_")


@pytest.fixture(scope="module")
def vgg16(caffe, tmp_path_factory):
    """(layers, their file)"""
    layers = caffe.trained_vgg16(fc6=3)
    path = tmp_path_factory.mktemp("vgg16") / "SFD.caffemodel"
    yield layers, write(path, caffe.caffemodel(layers))
    path.unlink()


def test_the_authors_network_has_the_maps_of_its_layers(caffe, vgg16):
    layers, path = vgg16
    model = load_checkpoint(path)
    assert model.config == ModelConfig(
        "vgg16",
        channel_order="BGR",
        mean=(104.0, 117.0, 123.0),
        fc6_padding=3,
        fc6_dilation=1,
        pools="ceil",
        backgrounds=3,
    )
    assert_maps_are_those_of(model, caffe, layers, VGG16_LEVELS, (97, 142))


@pytest.mark.parametrize(
    "layers", ["trained_mobilenet", "deployed_mobilenet"], ids=["loss", "sigmoid"]
)
def test_a_sigmoid_becomes_a_softmax_with_a_background_of_zero(caffe, tmp_path, layers):
    layers = getattr(caffe, layers)()
    model = load_checkpoint(write(tmp_path / "mod.caffemodel", caffe.caffemodel(layers)))
    images = photo(64, 96)
    made = caffe.run(layers, images)
    with torch.inference_mode():
        logits, _ = model(model.preprocess(images))
    for level, name in zip(logits, LEVELS, strict=True):
        theirs = made[f"{name}_mbox_conf-_"]
        assert torch.equal(level[:, 0::2], torch.zeros_like(level[:, 0::2]))
        torch.testing.assert_close(level[:, 1::2], theirs[:, 1::2].float(), atol=1e-3, rtol=1e-4)
        scores = level.unflatten(1, (-1, 2)).softmax(dim=2)[:, :, 1]
        torch.testing.assert_close(scores, theirs[:, 1::2].sigmoid().float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", ["double", "half", "unpacked", "legacy"])
def test_weights_in_every_form_are_the_same_numbers(caffe, tmp_path, kind):
    layers = caffe.deployed_mobilenet()
    for layer in layers:
        layer.blobs = [blob.astype("float16").astype("float32") for blob in layer.blobs]
    usual = load_checkpoint(write(tmp_path / "usual.caffemodel", caffe.caffemodel(layers)))
    model = load_checkpoint(write(tmp_path / "other.caffemodel", caffe.caffemodel(layers, kind)))
    assert model.config == usual.config
    for name, tensor in usual.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_widths_depths_and_the_input_come_from_the_file(caffe, tmp_path):
    layers = caffe.trained_mobilenet(mean_value=[90.0, 100.0, 110.0], scale=0.5)
    model = load_checkpoint(write(tmp_path / "mod.caffemodel", caffe.caffemodel(layers)))
    layout = model.config.layout
    assert (layout.stem, layout.separable, layout.last) == ((4, 5), 5, 16)
    assert layout.blocks == tuple(caffe.BLOCKS)
    assert layout.extras == ((6, 12), (6, 13), (6, 14))
    assert (model.config.mean, model.config.scale) == ((90.0, 100.0, 110.0), 0.5)
    assert model.config.channel_order == "BGR"
    assert model.grid.strides == (8, 16, 32, 64, 128)
    assert model.grid.num_shapes == (2, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({"scale": 0.25}, ((0.0, 0.0, 0.0), 0.25)),
        ({"mirror": True}, ((0.0, 0.0, 0.0), 1.0)),
        ({"mean_value": [128.0], "scale": 0.5}, ((128.0, 128.0, 128.0), 0.5)),
    ],
)
def test_data_without_a_mean_has_none_subtracted(caffe, tmp_path, transform, expected):
    layers = caffe.trained_mobilenet(**{"mean_value": [], **transform})
    model = load_checkpoint(write(tmp_path / "mod.caffemodel", caffe.caffemodel(layers)))
    assert (model.config.mean, model.config.scale) == expected


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        ({"mean_file": "mean.binaryproto"}, r"layer 'data': expected .*no mean_file"),
        ({"mean_value": [1.0, 2.0]}, r"layer 'data': expected one mean_value or three"),
        ({"scale": 0.0}, "scale: expected a finite number of float32 above 0"),
    ],
)
def test_a_mean_or_scale_that_cannot_be_read_is_refused(caffe, tmp_path, transform, message):
    layers = caffe.trained_mobilenet(**transform)
    path = write(tmp_path / "mod.caffemodel", caffe.caffemodel(layers))
    with pytest.raises(ValueError, match=rf"mod\.caffemodel: .*{message}"):
        load_checkpoint(path)


def test_a_prototxt_is_the_network_that_the_weights_are_run_in(caffe, tmp_path):
    trained, deployed = caffe.trained_mobilenet(), caffe.deployed_mobilenet(batch_norm=True)
    weights = write(tmp_path / "mod.caffemodel", caffe.caffemodel(trained))
    text = write(tmp_path / "deploy.prototxt", caffe.prototxt(deployed[1:]).encode())
    model = load_checkpoint(weights, prototxt=text)
    expected = load_checkpoint(weights)
    assert model.config == expected.config
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


def test_a_prototxt_decides_where_it_differs_from_the_training(caffe, tmp_path, vgg16):
    layers, path = vgg16
    text = caffe.prototxt(layers).replace("pad: 3", "pad: 6").replace("dilation: 1", "dilation: 6")
    config = load_checkpoint(
        path, prototxt=write(tmp_path / "deploy.prototxt", text.encode())
    ).config
    assert (config.fc6_padding, config.fc6_dilation) == (6, 6)


def test_what_is_saved_again_is_the_same_network(caffe, tmp_path):
    model = load_checkpoint(
        write(tmp_path / "mod.caffemodel", caffe.caffemodel(caffe.trained_mobilenet()))
    )
    save_checkpoint(model, tmp_path / "mod.safetensors")
    loaded = load_checkpoint(tmp_path / "mod.safetensors")
    assert loaded.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_a_detector_finds_what_the_layers_and_the_box_code_say(caffe, tmp_path):
    layers = caffe.deployed_mobilenet()
    path = write(tmp_path / "mod.caffemodel", caffe.caffemodel(layers))
    image = photo(128, 128)[:1]
    made = caffe.run(layers, image)
    boxes, scores = [], []
    for level, name in enumerate(LEVELS):
        sizes = (16, 32) if level == 0 else (32 * 2**level,)
        logits, deltas = made[f"{name}_mbox_conf-_"][0], made[f"{name}_mbox_loc-_"][0]
        for shape, side in enumerate(sizes):
            for row in range(logits.shape[1]):
                for column in range(logits.shape[2]):
                    dx, dy, dw, dh = deltas[4 * shape : 4 * shape + 4, row, column]
                    x, y = ((cell + 0.5) * 8 * 2**level for cell in (column, row))
                    x, y = x + 0.1 * dx * side, y + 0.1 * dy * side
                    width, height = side * (0.2 * dw).exp(), side * (0.2 * dh).exp()
                    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                    boxes.append(torch.stack(corners).clamp(0, 128))
                    scores.append(logits[2 * shape + 1, row, column].sigmoid())
    boxes, scores = torch.stack(boxes).float(), torch.stack(scores).float()
    seen = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)  # the others lie outside the image
    order = scores.where(seen, 0).argsort(descending=True, stable=True)[:60]
    gaps = scores[order[:-1]] - scores[order[1:]]
    count = 1 + int(gaps[20:].argmax()) + 20
    detector = FaceDetector.from_pretrained(path, device="cpu", precision="float32")
    threshold = scores[order[count - 1 : count + 1]].mean().item()
    found = detector(image[0], score_threshold=threshold, iou_threshold=1.0)
    torch.testing.assert_close(found.scores, scores[order[:count]], atol=1e-4, rtol=0)
    torch.testing.assert_close(found.boxes, boxes[order[:count]], atol=1e-2, rtol=0)


def test_a_mobilenet_can_be_trained_on(caffe, tmp_path):
    path = write(tmp_path / "mod.caffemodel", caffe.caffemodel(caffe.trained_mobilenet()))
    model = load_checkpoint(path).train()
    logits, deltas = model(torch.randn(2, 3, 64, 64))
    sum(level.square().sum() for level in (*logits, *deltas)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_folding_the_norms_keeps_the_maps(caffe, tmp_path):
    path = write(tmp_path / "mod.caffemodel", caffe.caffemodel(caffe.trained_mobilenet()))
    images = photo(64, 96)
    model = load_checkpoint(path)
    with torch.inference_mode():
        before, after = model(model.preprocess(images)), model.fuse()(model.preprocess(images))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    for a, b in zip((*before[0], *before[1]), (*after[0], *after[1]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
