"""Files of Caffe's that are damaged, foreign, or hold other networks: errors that say so."""

import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from s3fd.models import S3FD, load_checkpoint, save_checkpoint
from s3fd.models.caffe.net import read_prototxt


@pytest.fixture(scope="module")
def layers(caffe):
    return caffe.trained_mobilenet()


@pytest.fixture(scope="module")
def vgg16_without_weights(caffe):
    return [replace(layer, blobs=[]) for layer in caffe.trained_vgg16()]


@pytest.fixture(scope="module")
def content(caffe, layers):
    return caffe.caffemodel(layers)


def load(folder, content, name="mod.caffemodel", **options):
    path = folder / name
    path.write_bytes(content)
    return load_checkpoint(path, **options)


def test_a_caffemodel_is_known_by_its_first_bytes_too(content, tmp_path):
    assert load(tmp_path, content, "weights.bin").config.backbone == "mobilenet_v2"


def test_torchs_default_device_does_not_matter(content, tmp_path):
    with torch.device("meta"):
        model = load(tmp_path, content)
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"cpu"}


def test_a_name_of_thousands_of_letters_is_shortened_in_the_message(caffe, layers, tmp_path):
    long = [*deepcopy(layers[:-1]), replace(layers[-1], name="9" * 5000, type="Swap")]
    for options in ({}, {"prototxt": tmp_path / "deploy.prototxt"}):
        (tmp_path / "deploy.prototxt").write_text(caffe.prototxt(long[1:]), encoding="utf-8")
        with pytest.raises(ValueError, match=r"(prototxt|caffemodel): not the network") as refused:
            load(tmp_path, caffe.caffemodel(layers if options else long), **options)
        assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.6, 0.9, 0.99999])
def test_a_truncated_file_is_named(content, tmp_path, share):
    with pytest.raises(ValueError, match=r"mod\.caffemodel: .*(truncated|not the network)"):
        load(tmp_path, content[: int(len(content) * share)])


@given(position=st.integers(0, 10**6), value=st.integers(0, 255))
@settings(max_examples=60)
def test_a_changed_byte_is_an_error_that_names_the_file_or_still_a_network(
    content, tmp_path_factory, position, value
):
    # Most bytes are weights: the first thousand of every layer's description matter more.
    position %= 3000 if position % 2 else len(content)
    changed = content[:position] + bytes([value]) + content[position + 1 :]
    try:
        model, message = load(tmp_path_factory.getbasetemp(), changed), ""
    except ValueError as error:
        model, message = None, str(error)
    assert isinstance(model, S3FD) or "mod.caffemodel: " in message


@pytest.mark.parametrize("content", [b"\n", b"\n\x04made", b"hello\nworld", bytes(range(256)) * 9])
def test_what_is_no_caffemodel_is_an_error_that_names_the_file(tmp_path, content):
    with pytest.raises(ValueError, match=r"mod\.caffemodel: .*pass another one"):
        load(tmp_path, content)


def test_an_empty_file_and_a_missing_one_are_told_apart(tmp_path):
    with pytest.raises(ValueError, match="the file is empty"):
        load(tmp_path, b"")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_checkpoint(tmp_path / "other.caffemodel")


def test_the_layout_of_before_2014_is_refused_with_a_remedy(caffe, tmp_path):
    with pytest.raises(
        ValueError, match=r"before 2014; convert it with .*upgrade_net_proto_binary"
    ):
        load(tmp_path, caffe.of_bytes(1, "old") + caffe.of_bytes(2, caffe.of_bytes(4, "conv1_1")))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(caffe, tmp_path, number):
    layers = caffe.trained_mobilenet()
    layer = next(layer for layer in layers if layer.name == "conv_2/expand_")
    layer.blobs[0][0, 0] = number
    with pytest.raises(ValueError, match=r"NaN or infinite numbers in 'conv_2/expand_\.weight'"):
        load(tmp_path, caffe.caffemodel(layers))


def test_a_prototxt_needs_a_caffemodel_and_has_to_be_there(content, tmp_path):
    save_checkpoint(S3FD("light"), tmp_path / "light.safetensors")
    with pytest.raises(ValueError, match=r"prototxt: expected None .*light\.safetensors"):
        load_checkpoint(tmp_path / "light.safetensors", prototxt=tmp_path / "deploy.prototxt")
    with pytest.raises(FileNotFoundError, match=r"deploy\.prototxt: there is no such file"):
        load(tmp_path, content, prototxt=tmp_path / "deploy.prototxt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer { name: 'a' ", "truncated"),
        ("layer { name: }", "line 1 is not understood"),
        ("name: 'a'\n\n}", "line 3 is not understood"),
        ("layer {\n pad: [1, 2] }", "line 2 is not understood"),
        ("layer { convolution_param { pad: one } }", "'pad' can't have the value 'one'"),
        ("layer { convolution_param { bias_term: 2 } }", "'bias_term' can't have the value '2'"),
        ("layer { pooling_param { pool: MIN } }", "'pool' can't have the value 'MIN'"),
        ("layer { pooling_param: 3 }", "'pooling_param' can't have the value '3'"),
        ("layer { name { } }", "'name' can't have the value"),
        ("name: 'a'", "no layers"),
        ("layers { name: 'a' }", "upgrade_net_proto_text"),
    ],
)
def test_a_damaged_prototxt_is_named_with_the_place(content, tmp_path, text, message):
    path = tmp_path / "deploy.prototxt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"deploy\.prototxt: .*{re.escape(message)}"):
        load(tmp_path, content, prototxt=path)


def test_text_may_be_written_in_every_way_that_protobuf_allows(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(
        """# a comment { with marks }
        input: 'data' layer{name:"a # b"type:"Convolution",bottom:"data";top:"a" # another
        convolution_param:{num_output:3 kernel_h:3 kernel_w: 1 bias_term: false unknown { x: 1 } }}
        """,
        encoding="utf-8",
    )
    net = read_prototxt(path)
    (layer,) = net.layers
    assert net.inputs == ("data",)
    assert (layer.name, layer.type) == ("a # b", "Convolution")
    assert (layer.bottoms, layer.tops) == (("data",), ("a",))
    assert layer.value("convolution_param", "num_output", 0) == 3
    assert layer.value("convolution_param", "bias_term", True) is False
    assert layer.value("convolution_param", "pad", 7) == 7


# --- networks that S3FD can't be ------------------------------------------------------------------


def layer_named(layers, name):
    return next(layer for layer in layers if layer.name == name)


def configure(name, settings, /, **values):
    """Changes some settings of a layer."""
    return lambda layers: layer_named(layers, name).settings.setdefault(settings, {}).update(values)


def read_other(name, bottom):
    def change(layers):
        layer_named(layers, name).bottoms = [bottom]

    return change


def retype(name, kind):
    def change(layers):
        layer_named(layers, name).type = kind

    return change


def remove(name):
    return lambda layers: layers.remove(layer_named(layers, name))


def with_blobs(name, *shapes):
    def change(layers):
        layer_named(layers, name).blobs = [np.ones(shape, np.float32) for shape in shapes]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (configure("Conv", "convolution_param", stride=1), "'Conv': expected Convolution(kernel=3"),
        (configure("Conv_a", "convolution_param", pad=0), "'conv/depthwise'|'Conv_a'"),
        (configure("Conv_1", "convolution_param", pad=1), "'Conv_1': expected Convolution"),
        (configure("conv_2/depthwise_", "convolution_param", dilation=2), "'conv_2/depthwise_'"),
        (configure("conv_2/depthwise_", "convolution_param", group=1), "'conv_2/depthwise_'"),
        (
            configure("conv_2/depthwise_", "convolution_param", kernel_h=3, kernel_size=[3, 5]),
            "'conv_2/depthwise_': expected the same kernel_size twice, got [3, 5]",
        ),
        (configure("conv_4/depthwise_", "convolution_param", stride=2), "'conv_4/project_'"),
        (
            configure("layer_19_2_3/depthwise", "convolution_param", stride=1),
            "'layer_19_2_3': expected half the resolution",
        ),
        (configure("conv_2/sum", "eltwise_param", operation="PROD"), "expected a plain sum"),
        (configure("conv_2/sum", "eltwise_param", coeff=[1.0, -1.0]), "expected a plain sum"),
        (configure("Conv/relu", "relu_param", negative_slope=0.1), "'Conv/relu': a ReLU like this"),
        (configure("Conv/bn", "batch_norm_param", eps=1e-5), "'Conv': expected a batch norm"),
        (remove("conv_2/expand_/relu"), "'conv_2/expand_': expected Convolution(kernel=1"),
        (remove("Conv_1_mbox_priorbox"), "which no layer makes"),
        (remove("Conv_1_mbox_conf-_"), "which no layer makes"),
        (remove("mbox_loss"), "expected a layer MultiBoxLoss or DetectionOutput"),
        (retype("Conv/relu", "ReLU6"), "'Conv': expected Convolution(kernel=3"),
        (retype("conv_2/depthwise_", "Deconvolution"), "'conv_2/"),
        (read_other("conv_3/expand_", "Conv_a"), "'conv_3/expand_': expected a Convolution of"),
        (read_other("conv_3/expand_", "Conv_b"), "reads 'Conv_b', which no layer makes"),
        (read_other("layer_19_1_3", "Conv_1_split_0"), "'layer_19_1_3': expected a Convolution of"),
        (configure("Conv_1_mbox_priorbox", "prior_box_param", min_size=[48.0]), "48.0"),
        (configure("Conv_1_mbox_priorbox", "prior_box_param", step=8.0), "'step': [8.0]"),
        (configure("Conv_1_mbox_priorbox", "prior_box_param", aspect_ratio=[2.0]), "[2.0]"),
        (configure("Conv_1_mbox_priorbox", "prior_box_param", variance=[0.1]), "'variance': [0.1]"),
        (configure("mbox_loss", "multibox_loss_param", code_type="CORNER"), "code CENTER_SIZE"),
        (with_blobs("Conv"), "'Conv': expected weights of 4 kernels, got []"),
        (with_blobs("Conv", (5, 3, 3, 3)), "'Conv': expected weights of 4 kernels"),
        (with_blobs("Conv", (4, 2, 3, 3)), "'Conv.weight' is float32 [4, 2, 3, 3]"),
        (with_blobs("Conv/bn", (4,), (4,)), "'Conv': expected 1 numbers"),
        (with_blobs("Conv/scale", (4,), (3,)), "'Conv': expected 4 numbers"),
    ],
)
def test_another_network_is_refused_by_the_name_of_its_layer(caffe, tmp_path, change, message):
    layers = caffe.trained_mobilenet()
    change(layers)
    pattern = "|".join(re.escape(part) for part in message.split("|"))
    with pytest.raises(ValueError, match=rf"mod\.caffemodel: .*({pattern})"):
        load(tmp_path, caffe.caffemodel(layers))


@pytest.mark.parametrize("activations", [[], ["Sigmoid", "Softmax"]])
def test_scores_of_no_or_of_two_kinds_are_refused(caffe, tmp_path, activations):
    layers = caffe.deployed_mobilenet()
    layers.remove(layer_named(layers, "scores"))
    layer_named(layers, "detection_out").bottoms[1] = "mbox_conf"
    layers += [caffe.Layer(kind, kind, ["mbox_conf"], [kind]) for kind in activations]
    with pytest.raises(ValueError, match=r"expected a Sigmoid or a Softmax of the scores, got \["):
        load(tmp_path, caffe.caffemodel(layers))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (configure("conv2_2", "convolution_param", pad=0), "'conv2_2': expected Convolution"),
        (configure("pool3", "pooling_param", stride=1), "'pool3': expected"),
        (configure("conv4_3_norm", "norm_param", across_spatial=True), "'conv4_3_norm': expected"),
        (
            configure("conv3_3_norm_mbox_conf_maxout", "eltwise_param", operation="SUM"),
            "'conv3_3_norm_mbox_conf': expected that the maximum",
        ),
        (remove("pool4"), "no layer makes"),
        (remove("fc6"), "no layer makes"),
    ],
)
def test_another_network_than_the_authors_is_refused(
    caffe, vgg16_without_weights, tmp_path, change, message
):
    layers = deepcopy(vgg16_without_weights)
    change(layers)
    with pytest.raises(ValueError, match=rf"SFD\.caffemodel: .*{re.escape(message)}"):
        load(tmp_path, caffe.caffemodel(layers), "SFD.caffemodel")


def test_a_network_without_anchors_is_no_detector(caffe, tmp_path):
    layers = [layer for layer in caffe.trained_mobilenet() if "mbox" not in layer.name]
    with pytest.raises(ValueError, match="expected anchors on"):
        load(tmp_path, caffe.caffemodel(layers))


def test_loading_leaves_the_random_generator_alone(content, tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    load(tmp_path, content)
    assert torch.equal(torch.rand(3), expected)
