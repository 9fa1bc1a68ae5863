import json
import shutil

import pytest
import torch

from s3fd.data import read_photos
from s3fd.evaluation import evaluate_detector
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.models import S3FD
from s3fd.training.distributed import Processes
from s3fd.training.events import Events
from s3fd.training.photos import RunPhotos
from s3fd.training.validation import Validation

ALONE = Processes(torch.device("cpu"))


def validation_of(config):
    return Validation.of(RunPhotos.from_config(config).validation.photos, config, ALONE)


def test_the_figure_is_that_of_the_evaluation(make_config, data, tmp_path):
    from s3fd import FaceDetector

    validation = validation_of(make_config(tmp_path, validate_every=1))
    assert len(validation.photos) == 4
    model = FaceDetector.from_pretrained("light", "cpu").model
    found = validation.curve(model, Events(None), 1).average_precision
    detector = FaceDetector(model, "cpu", precision="float32")
    expected = evaluate_detector(
        lambda photos: detector(photos, score_threshold=LOWEST_SCORE),
        read_photos(data, "val").photos,
    )
    assert found == expected.curve.average_precision
    assert 0 <= found <= 1


def test_some_of_the_photos_are_spread_over_all(make_config, tmp_path):
    some = validation_of(make_config(tmp_path, validate_every=1, validation_photos=2))
    assert [photo.path.name for photo in some.photos] == ["12.png", "14.png"]


def test_photos_without_a_face_are_refused(make_config, data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    entries = json.loads((data / "annotations.json").read_text())["images"]
    empty = json.dumps({"images": [entry | {"boxes": []} for entry in entries]})
    (tmp_path / "data" / "annotations.json").write_text(empty)
    with pytest.raises(ValueError, match="validation: none of 4 photos has a face"):
        validation_of(make_config(tmp_path, validate_every=1, validation=tmp_path / "data"))


def test_the_model_is_trained_on_as_before(make_config, tmp_path):
    validation = validation_of(make_config(tmp_path, validate_every=1, validation_photos=1))
    model = S3FD("light").train()
    before, state = model.state_dict().keys(), torch.get_rng_state()
    validation.curve(model, Events(None), 1)
    assert model.training
    assert model.state_dict().keys() == before
    assert torch.equal(torch.get_rng_state(), state)
