"""Whole detectors in files of ONNX, as a place without torch runs them."""

import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from s3fd import FaceDetector
from s3fd.export import export_onnx
from s3fd.images import read_image
from s3fd.models import S3FD, load_checkpoint, pretrained_path
from s3fd.models.mobilenet_v2 import MobileNetV2Layout

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"
BLOCKS = ((8, 6, 2), (12, 6, 1), (12, 8, 2), (16, 12, 2), (24, 12, 1))
LAYOUT = MobileNetV2Layout((4, 5), 5, BLOCKS, 16, ((6, 12), (6, 13), (6, 14)))


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """A file of the bundled weights that finds unsure faces, too."""
    path = tmp_path_factory.mktemp("onnx") / "light.onnx"
    export_onnx(load_checkpoint(pretrained_path("light")), path, score_threshold=0.05)
    return path


@pytest.fixture(scope="module")
def detector():
    return FaceDetector.from_pretrained("light", "cpu", precision="float32")


def assert_same(outputs, expected):
    boxes, scores, splits = outputs
    assert splits.tolist() == np.cumsum([0, *map(len, expected)]).tolist()
    for faces, begin, end in zip(expected, splits[:-1], splits[1:], strict=True):
        np.testing.assert_allclose(boxes[begin:end], faces.boxes, atol=2e-2)
        np.testing.assert_allclose(scores[begin:end], faces.scores, atol=1e-4)


@pytest.mark.parametrize(
    "region",
    [
        (0, 512, 0, 512),
        (0, 300, 100, 400),
        (0, 257, 130, 386),
        (50, 81, 180, 280),
        (0, 1, 0, 1),
    ],
)
def test_a_file_finds_what_the_detector_finds_in_images_of_any_size(light, detector, region):
    top, bottom, left, right = region
    image = np.ascontiguousarray(read_image(ASTRONAUT)[top:bottom, left:right])
    expected = detector(image, score_threshold=0.05, max_size=None)
    assert len(expected) or image.size < 10_000
    session = onnxruntime.InferenceSession(light)
    assert_same(session.run(None, {"images": image[None]}), [expected])


def test_images_of_one_size_go_in_together(light, detector):
    image = read_image(ASTRONAUT)[:, :400]
    images = np.stack([image, np.full_like(image, 128), image[:, ::-1]])
    expected = detector(images, score_threshold=0.05, max_size=None)
    assert len(expected[0]) > 0 < len(expected[2])
    assert_same(onnxruntime.InferenceSession(light).run(None, {"images": images}), expected)


def test_no_images_are_a_batch_too(light):
    session = onnxruntime.InferenceSession(light)
    boxes, scores, splits = session.run(None, {"images": np.zeros((0, 48, 70, 3), np.uint8)})
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert splits.tolist() == [0]


def test_a_large_image_is_padded_in_coarser_steps(light, detector):
    image = np.zeros((200, 1100, 3), np.uint8)
    image[:, 300:700] = read_image(ASTRONAUT)[50:250, :400]
    expected = detector(image, score_threshold=0.05, max_size=None)
    assert len(expected) > 0
    session = onnxruntime.InferenceSession(light)
    assert_same(session.run(None, {"images": image[None]}), [expected])


def test_a_network_of_other_colours_scale_and_levels_takes_floating_point_images(tmp_path):
    torch.manual_seed(0)
    model = S3FD(
        "mobilenet_v2",
        layout=LAYOUT,
        backgrounds=1,
        channel_order="BGR",
        mean=(100.5, 110.0, 120.0),
        scale=0.017,
    )
    export_onnx(model, tmp_path / "small.onnx", score_threshold=0.5, input_type="float32")
    image = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)
    expected = FaceDetector(model, "cpu", precision="float32")(image, score_threshold=0.5)
    assert len(expected) > 3
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    assert_same(session.run(None, {"images": image[None].astype(np.float32)}), [expected])


def test_a_file_in_half_precision_finds_nearly_the_same(light, detector, tmp_path):
    path = tmp_path / "half.onnx"
    model = load_checkpoint(pretrained_path("light"))
    export_onnx(model, path, score_threshold=0.3, precision="float16")
    assert path.stat().st_size < 0.6 * light.stat().st_size
    weights = onnx.load(path).graph.initializer
    largest = max(weights, key=lambda tensor: np.prod(tensor.dims))
    assert largest.data_type == onnx.TensorProto.FLOAT16
    assert next(model.parameters()).dtype == torch.float32
    image = read_image(ASTRONAUT)[:, :400]
    images = np.stack([image, np.full_like(image, 128), image[:, ::-1]])
    session = onnxruntime.InferenceSession(path)
    boxes, scores, splits = session.run(None, {"images": images})
    assert boxes.dtype == scores.dtype == np.float32
    for faces, begin, end in zip(
        detector(images, score_threshold=0.5, max_size=None), splits[:-1], splits[1:], strict=True
    ):
        sure = scores[begin:end] >= 0.5
        assert sure.sum() == len(faces)
        np.testing.assert_allclose(boxes[begin:end][sure], faces.boxes, atol=0.5)
        np.testing.assert_allclose(scores[begin:end][sure], faces.scores, atol=0.01)


def test_a_file_is_the_same_whatever_torchs_default_device_is(light, tmp_path):
    model = load_checkpoint(pretrained_path("light"))
    with torch.device("meta"):
        export_onnx(model, tmp_path / "light.onnx", score_threshold=0.05)
    feeds = {"images": read_image(ASTRONAUT)[None, :128, 160:288]}
    for one, other in zip(
        onnxruntime.InferenceSession(tmp_path / "light.onnx").run(None, feeds),
        onnxruntime.InferenceSession(light).run(None, feeds),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_a_file_consists_of_standard_operators(light):
    model = onnx.load(light)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    assert "NonMaxSuppression" in {node.op_type for node in model.graph.node}
    assert not model.functions
    assert [value.name for value in model.graph.input] == ["images"]
    assert [value.name for value in model.graph.output] == ["boxes", "scores", "splits"]


def test_a_file_runs_where_torch_can_not_be_imported(light, detector, tmp_path):
    image = read_image(ASTRONAUT)
    np.save(tmp_path / "image.npy", image)
    script = """
import sys
sys.modules["torch"] = sys.modules["s3fd"] = None  # importing them is an error
import numpy as np
import onnxruntime
model, folder = sys.argv[1:]
image = np.load(f"{folder}/image.npy")
outputs = onnxruntime.InferenceSession(model).run(None, {"images": image[None]})
np.savez(f"{folder}/found.npz", *outputs)
"""
    subprocess.run([sys.executable, "-c", script, light, tmp_path], check=True)
    with np.load(tmp_path / "found.npz") as found:
        expected = detector(image, score_threshold=0.05)
        assert_same([found[f"arr_{index}"] for index in range(3)], [expected])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score_threshold": 1.5}, "score_threshold"),
        ({"iou_threshold": -1}, "iou_threshold"),
        ({"input_type": "float64"}, "input_type: expected 'uint8' or 'float32'"),
        ({"precision": "bfloat16"}, "precision: expected 'float32' or 'float16'"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_onnx(S3FD("light"), tmp_path / "bad.onnx", **arguments)
    assert not list(tmp_path.iterdir())
