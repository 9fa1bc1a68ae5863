"""``s3fd convert``, as a user meets it."""

import math

import pytest
import safetensors
import torch

from s3fd.models import load_checkpoint, pretrained_path


@pytest.fixture
def weights(caffe, tmp_path):
    path = tmp_path / "mod.caffemodel"
    path.write_bytes(caffe.caffemodel(caffe.trained_mobilenet()))
    return path


def test_a_caffemodel_becomes_a_file_with_the_same_network(run, weights, tmp_path):
    out = tmp_path / "mod.safetensors"
    result = run("convert", weights, out)
    assert result.exit_code == 0
    assert f"{out}: mobilenet_v2, " in result.stdout
    original, converted = load_checkpoint(weights), load_checkpoint(out)
    assert converted.config == original.config
    for name, tensor in original.state_dict().items():
        assert torch.equal(tensor, converted.state_dict()[name]), name
    with safetensors.safe_open(out, framework="pt") as file:
        assert file.metadata()["converted_from"] == "mod.caffemodel"


def test_a_prototxt_is_followed(run, caffe, weights, tmp_path):
    prototxt = tmp_path / "deploy.prototxt"
    layers = caffe.deployed_mobilenet("Softmax", batch_norm=True)
    prototxt.write_text(caffe.prototxt(layers[1:]), encoding="utf-8")
    out = tmp_path / "mod.safetensors"
    assert run("convert", weights, out, "--prototxt", prototxt).exit_code == 0
    trained, converted = load_checkpoint(weights), load_checkpoint(out)
    # The training's sigmoid leaves no background; a softmax needs it.
    assert not trained.head.logits[1].weight[0].any()
    assert converted.head.logits[1].weight[0].any()


def test_every_format_that_is_read_can_be_converted(run, tmp_path):
    out = tmp_path / "light.safetensors"
    assert run("convert", pretrained_path("light"), out).exit_code == 0
    assert load_checkpoint(out).config == load_checkpoint(pretrained_path("light")).config


def test_boxes_of_all_anchors_can_be_made_larger(run, weights, tmp_path):
    out = tmp_path / "mod.safetensors"
    assert run("convert", weights, out, "--box-margins", "0.1", "0.2", "0.2").exit_code == 0
    original, converted = load_checkpoint(weights), load_checkpoint(out)
    assert [len(layer.bias) // 4 for layer in original.head.deltas][:2] == [2, 1]
    change = torch.tensor([0, 0, math.log(1.2) / 0.2, math.log(1.4) / 0.2])  # of each anchor
    for before, after in zip(original.head.deltas, converted.head.deltas, strict=True):
        grown = before.bias + change.repeat(len(before.bias) // 4)
        torch.testing.assert_close(after.bias, grown)
        assert torch.equal(before.weight, after.weight)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mod.caffemodel"], 2, "OUT"),
        (["mod.caffemodel", "mod.pth"], 2, "ends in .safetensors"),
        (["mod.caffemodel", "gone/mod.safetensors"], 2, "there is no folder"),
        (["same.safetensors", "./same.safetensors"], 2, "never overwritten"),
        (
            ["mod.caffemodel", "mod.safetensors", "--box-margins", "2", "0", "0"],
            2,
            "box-margins: expected",
        ),
        (["gone.caffemodel", "mod.safetensors"], 1, "gone.caffemodel: there is no such file"),
        (["text.caffemodel", "mod.safetensors"], 1, "text.caffemodel: "),
    ],
)
def test_mistakes_have_one_message_and_leave_no_file(
    run, weights, monkeypatch, arguments, code, message
):
    folder = weights.parent
    monkeypatch.chdir(folder)
    (folder / "text.caffemodel").write_text("hello", encoding="utf-8")
    (folder / "same.safetensors").write_text("hello", encoding="utf-8")
    result = run("convert", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert not (folder / "mod.safetensors").exists()
    assert (folder / "same.safetensors").read_text(encoding="utf-8") == "hello"
