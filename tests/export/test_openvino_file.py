"""Whole detectors in OpenVINO's format, as its runtime runs them."""

import numpy as np
import openvino
import pytest

from s3fd import FaceDetector
from s3fd.export import export_openvino
from s3fd.images import read_image
from s3fd.models import load_checkpoint, pretrained_path

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"
# Some find of the photo is above it, and none so close that rounding could bring it below.
UNSURE = 0.03


def export(path, **settings):
    export_openvino(load_checkpoint(pretrained_path("light")), path, **settings)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", exact)


def found_by(compiled, images):
    results = compiled({"images": images})
    return [results[name] for name in ("boxes", "scores", "splits")]


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Compiled from a file of the bundled weights that finds unsure faces, too."""
    return export(tmp_path_factory.mktemp("openvino") / "light.xml", score_threshold=UNSURE)


@pytest.mark.parametrize("region", [(0, 512, 0, 512), (0, 257, 130, 386), (40, 191, 160, 300)])
@pytest.mark.parametrize("times", [1, 3])
def test_a_file_finds_what_the_detector_finds(light, region, times):
    top, bottom, left, right = region
    image = np.ascontiguousarray(read_image(ASTRONAUT)[top:bottom, left:right])
    detector = FaceDetector.from_pretrained("light", "cpu", precision="float32")
    faces = detector(image, score_threshold=UNSURE, max_size=None)
    assert len(faces) > 0
    boxes, scores, splits = found_by(light, np.stack([image] * times))
    assert splits.tolist() == [len(faces) * number for number in range(times + 1)]
    np.testing.assert_allclose(boxes, np.tile(faces.boxes, (times, 1)), atol=2e-2)
    np.testing.assert_allclose(scores, np.tile(faces.scores, times), atol=1e-4)


def test_no_images_are_a_batch_too(light):
    boxes, scores, splits = found_by(light, np.zeros((0, 64, 70, 3), np.uint8))
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)
    assert splits.tolist() == [0]


def test_floats_go_in_and_half_precision_moves_boxes_little(light, tmp_path):
    settings = {"score_threshold": UNSURE, "precision": "float16", "input_type": "float32"}
    half = export(tmp_path / "half.xml", **settings)
    size = pretrained_path("light").stat().st_size
    assert 0.45 * size < (tmp_path / "half.bin").stat().st_size < 0.55 * size
    image = read_image(ASTRONAUT)[None]
    for one, other, distance in zip(
        found_by(half, image.astype(np.float32)),
        found_by(light, image),
        (0.5, 0.01, 0),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=distance)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("light.onnx", {}, r"path: expected a name that ends in .xml"),
        ("light.xml", {"precision": "bfloat16"}, "precision: expected 'float32' or 'float16'"),
        ("light.xml", {"input_type": "int8"}, "input_type: "),
        ("light.xml", {"score_threshold": 2}, "score_threshold: "),
    ],
)
def test_wrong_arguments_leave_no_file(tmp_path, name, settings, message):
    with pytest.raises(ValueError, match=message):
        export(tmp_path / name, **settings)
    assert not list(tmp_path.iterdir())


def test_files_of_before_stay_when_one_cannot_be_written(tmp_path):
    (tmp_path / "light.xml").write_text("before")
    (tmp_path / "light.bin").mkdir()
    with pytest.raises(OSError, match=r"light\.bin"):
        export(tmp_path / "light.xml")
    assert (tmp_path / "light.xml").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["light.bin", "light.xml"]
