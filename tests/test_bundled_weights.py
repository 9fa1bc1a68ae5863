"""The weights that the package ships: what their model card promises."""

import numpy as np
import pytest
import torch
from PIL import Image

from s3fd import FaceDetector
from s3fd.data import read_photos
from s3fd.evaluation import evaluate_detector, read_fddb
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.models import load_checkpoint, pretrained_path

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"


@pytest.fixture(scope="module")
def detector():
    return FaceDetector.from_pretrained("light", device="cpu")


def test_they_are_small_and_have_a_model_card():
    file = pretrained_path("light")
    assert file.stat().st_size < 10_000_000
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    for subject in ("Data", "Command", "steps", "seed", "FDDB", "can't do"):
        assert subject in card


def test_they_are_all_finite():
    weights = load_checkpoint(pretrained_path("light")).state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_the_astronaut_is_found_and_nothing_else(detector):
    (box,) = detector(ASTRONAUT).boxes.tolist()
    expected = [178, 60, 271, 180]
    width = min(box[2], expected[2]) - max(box[0], expected[0])
    height = min(box[3], expected[3]) - max(box[1], expected[1])
    union = 93 * 120 + (box[2] - box[0]) * (box[3] - box[1]) - width * height
    assert width * height / union > 0.7


def test_several_faces_of_several_sizes_are_found(detector):
    photo = Image.open(ASTRONAUT)
    sheet = Image.new("RGB", (1024, 768), (120, 130, 140))
    sheet.paste(photo, (0, 0))
    sheet.paste(photo.resize((256, 256), Image.Resampling.LANCZOS), (600, 40))
    sheet.paste(photo.resize((128, 128), Image.Resampling.LANCZOS), (700, 400))
    assert len(detector(sheet)) == 3


@pytest.mark.parametrize("size", [(64, 64), (200, 300), (480, 640), (1000, 1000)])
@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255), (90, 140, 220)])
def test_a_plain_colour_has_no_face(detector, size, colour):
    assert len(detector(np.full((*size, 3), colour, np.uint8))) == 0


def test_fddb_is_found_as_well_as_the_card_says(detector, shared):
    photos = [p.annotated() for p in read_fddb(shared / "fddb", [1]) if p.path.is_file()]
    result = evaluate_detector(lambda batch: detector(batch, score_threshold=LOWEST_SCORE), photos)
    assert result.curve.average_precision > 0.85


def test_the_validation_split_is_found_as_well_as_the_card_says(detector, shared):
    photos = read_photos(shared / "faces", "val").photos[::5]
    result = evaluate_detector(lambda batch: detector(batch, score_threshold=LOWEST_SCORE), photos)
    assert result.curve.average_precision > 0.8
