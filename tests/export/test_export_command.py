"""``s3fd export``, as a user meets it."""

import numpy as np
import onnxruntime
import pytest
import torch

from s3fd.models import S3FD, save_checkpoint

BASE = ("export", "light", "-o")


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    save_checkpoint(S3FD("light"), tmp_path / "random.safetensors")
    return tmp_path / "random.safetensors"


def test_the_command_writes_what_onnx_runtime_reads(run, weights, tmp_path):
    out = tmp_path / "random.onnx"
    result = run("export", weights, "--format", "onnx", "-o", out, "--threshold", "0.3")
    assert result.exit_code == 0, result.output
    assert "random.onnx: " in result.output
    session = onnxruntime.InferenceSession(out)
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    boxes, scores, _ = session.run(None, {"images": image})
    assert len(boxes) == len(scores) > 0
    assert scores.min() >= 0.3
    assert session.get_modelmeta().custom_metadata_map["score_threshold"] == "0.3"


def test_half_precision_is_asked_for_by_a_flag(run, weights, tmp_path):
    out = tmp_path / "random.onnx"
    result = run("export", weights, "-o", out, "--precision", "float16")
    assert result.exit_code == 0, result.output
    metadata = onnxruntime.InferenceSession(out).get_modelmeta().custom_metadata_map
    assert metadata["precision"] == "float16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "light"), "--out"),
        ((*BASE, "light.pb"), "expected a name that ends in .onnx"),
        ((*BASE, "light.onnx", "--format", "torch"), "expected a name that ends in .pt2"),
        ((*BASE, "gone/light.onnx"), "there is no folder"),
        ((*BASE, "light.pt2", "--format", "torch"), "needs the height and width"),
        ((*BASE, "light.onnx", "--image-size", "480", "640"), "with --format torch alone"),
        ((*BASE, "light.onnx", "--precision", "bfloat16"), "with --format torch alone"),
        ((*BASE, "light.onnx", "--threshold", "2"), "--threshold"),
        ((*BASE, "light.onnx", "--format", "tensorflow"), "--format"),
        (("export", "heavy", "-o", "heavy.onnx"), "heavy"),
    ],
)
def test_wrong_arguments_are_named_before_any_work(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.iterdir())


def test_missing_packages_are_named_with_what_brings_them(run, tmp_path, monkeypatch):
    import sys

    for module in [name for name in sys.modules if name.startswith("s3fd.export")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    result = run("export", "light", "-o", tmp_path / "light.onnx")
    assert result.exit_code == 2
    assert "pip install 's3fd[export]'" in " ".join(result.output.split())
