"""Whole detectors as programs of torch.export."""

import numpy as np
import pytest
import torch

from s3fd import FaceDetector
from s3fd.export import export_torch
from s3fd.images import read_image
from s3fd.models import S3FD, load_checkpoint, pretrained_path

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_program_finds_what_the_detector_finds(tmp_path, precision):
    image = read_image(ASTRONAUT)[:, :450]
    images = np.stack([image, image[:, ::-1]])
    model = load_checkpoint(pretrained_path("light"))
    export_torch(
        model,
        tmp_path / "light.pt2",
        image_size=image.shape[:2],
        batch_size=2,
        score_threshold=0.3,
        precision=precision,
    )
    program = torch.export.load(tmp_path / "light.pt2").module()
    boxes, scores, counts = program(torch.from_numpy(images))
    detector = FaceDetector(model, "cpu", precision=precision)
    expected = detector(images, score_threshold=0.3, max_size=None)
    assert counts.tolist() == [len(faces) for faces in expected]
    assert (boxes.shape, scores.shape) == ((2, 750, 4), (2, 750))
    for index, faces in enumerate(expected):
        torch.testing.assert_close(boxes[index, : len(faces)], faces.boxes, atol=1e-2, rtol=0)
        torch.testing.assert_close(scores[index, : len(faces)], faces.scores, atol=1e-4, rtol=0)


def test_a_program_is_the_same_whatever_torchs_default_device_is(tmp_path):
    model = load_checkpoint(pretrained_path("light"))
    image = read_image(ASTRONAUT)[:160, 160:320]
    with torch.device("meta"):
        export_torch(model, tmp_path / "light.pt2", image_size=image.shape[:2])
    _, scores, counts = torch.export.load(tmp_path / "light.pt2").module()(
        torch.tensor(image[None])
    )
    (faces,) = FaceDetector(model, "cpu", precision="float32")([image], max_size=None)
    assert counts.tolist() == [len(faces)] != [0]
    torch.testing.assert_close(scores[0, : len(faces)], faces.scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": (0, 5)}, "image_size: expected at least one pixel"),
        ({"image_size": (64,)}, "image_size"),
        ({"batch_size": 0}, "batch_size"),
        ({"score_threshold": 2}, "score_threshold"),
        ({"iou_threshold": 2}, "iou_threshold"),
        ({"precision": "auto"}, "precision: expected 'float32', 'bfloat16' or 'float16'"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_torch(S3FD("light"), tmp_path / "bad.pt2", **{"image_size": (64, 64)} | arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("model", ["light", FaceDetector(S3FD("light"), "cpu")])
def test_what_is_no_network_is_named(tmp_path, model):
    with pytest.raises(TypeError, match=r"model: expected a network, got .*from_pretrained"):
        export_torch(model, tmp_path / "bad.pt2", image_size=(64, 64))
