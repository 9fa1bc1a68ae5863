"""``s3fd export``, as a user meets it."""

import numpy as np
import onnxruntime
import openvino
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


def test_openvino_gets_two_files(run, weights, tmp_path):
    out = tmp_path / "random.xml"
    result = run("export", weights, "--format", "openvino", "-o", out, "--threshold", "0.3")
    assert result.exit_code == 0, result.output
    assert "random.xml: " in result.output
    assert "random.bin: " in result.output
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    results = openvino.Core().compile_model(out, "CPU")({"images": image})
    assert len(results["boxes"]) == len(results["scores"]) > 0
    assert results["scores"].min() >= 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "light"), "--out"),
        ((*BASE, "light.pb"), "expected a name that ends in .onnx"),
        ((*BASE, "light.onnx", "--format", "torch"), "expected a name that ends in .pt2"),
        ((*BASE, "light.onnx", "--format", "openvino"), "expected a name that ends in .xml"),
        ((*BASE, "gone/light.xml", "--format", "openvino"), "there is no folder"),
        ((*BASE, "light.xml", "--format", "openvino", "--batch-size", "2"), "with --format torch"),
        (
            (
                *BASE,
                "light.pt2",
                "--format",
                "torch",
                "--image-size",
                "480",
                "640",
                "--pixels",
                "float32",
            ),
            "with --format onnx and openvino alone",
        ),
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


@pytest.mark.parametrize(
    ("missing", "kind", "name", "extra"),
    [
        ("onnx", "onnx", "light.onnx", "export"),
        ("onnx", "openvino", "light.xml", "export"),
        ("onnxscript", "onnx", "light.onnx", "export"),
        ("openvino", "openvino", "light.xml", "openvino"),
    ],
)
def test_missing_packages_are_named_with_what_brings_them(
    run, tmp_path, monkeypatch, missing, kind, name, extra
):
    import sys

    for module in [name for name in sys.modules if name.startswith("s3fd.export")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)
    result = run("export", "light", "-o", tmp_path / name, "--format", kind)
    assert result.exit_code == 2
    assert f"pip install 's3fd[{extra}]'" in " ".join(result.output.split())
