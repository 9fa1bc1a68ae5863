import json
import shutil

import pytest
import torch

from s3fd import FaceDetector
from s3fd.data import CorruptPhotosError, read_photos
from s3fd.evaluation import evaluate_detector
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.images import Source
from s3fd.models import S3FD
from s3fd.training.distributed import Processes
from s3fd.training.events import Events
from s3fd.training.photos import RunPhotos
from s3fd.training.validation import Validation

ALONE = Processes(torch.device("cpu"))


def validation_of(config, say=print):
    return Validation.of(RunPhotos.from_config(config).validation.photos, config, ALONE, say)


def test_the_figure_is_that_of_the_evaluation(make_config, data, tmp_path):
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


@pytest.fixture
def model():
    return FaceDetector.from_pretrained("light", "cpu").model


def test_photos_that_can_not_be_used_are_skipped_and_said_once(
    make_config, data, damaged_validation, tmp_path, model
):
    sound = validation_of(make_config(tmp_path, validate_every=1))
    expected = sound.curve(model, Events(None), 1)
    said = []
    config = make_config(tmp_path, validate_every=1, validation=damaged_validation.root)
    validation = validation_of(config, said.append)
    assert len(validation.photos) == 8
    validation.open_all()
    assert len(said) == 3
    for _ in range(2):
        curve = validation.curve(model, Events(None), 1)
        assert (curve.faces, curve.average_precision) == (
            expected.faces, expected.average_precision,
        )  # fmt: skip
    assert len(said) == len(damaged_validation.reasons) == 4
    for name, reason in damaged_validation.reasons.items():
        (message,) = [line for line in said if name in line]
        assert message.startswith("a validation photo is skipped: ")
        assert reason in message
    assert name in said[-1]  # the pixels of a JPEG are looked at by the validation alone


@pytest.mark.parametrize(("share", "found"), [(0.3, "open_all"), (0.4, "curve")])
def test_more_of_them_than_the_share_are_an_error(
    make_config, damaged_validation, tmp_path, model, share, found
):
    config = make_config(
        tmp_path, validate_every=1, validation=damaged_validation.root, corrupt_share=share
    )
    validation = validation_of(config)
    number, allowed = (3, 2) if found == "open_all" else (4, 3)
    message = f"{number} of 8 validation photos can't be read, and at most {allowed} may be"
    if found == "curve":
        validation.open_all()
    with pytest.raises(CorruptPhotosError, match=message):
        validation.curve(model, Events(None), 1) if found == "curve" else validation.open_all()


def test_a_validation_of_which_no_face_is_left_is_refused(
    make_config, damaged_validation, tmp_path
):
    config = make_config(tmp_path, validate_every=1, validation=damaged_validation.root)
    photos = [photo for photo in RunPhotos.from_config(config).validation.photos
              if photo.path.name in damaged_validation.reasons]  # fmt: skip
    left = Validation.of(photos, make_config(tmp_path, corrupt_share=1.0), ALONE, print)
    left.photos = [photo for photo in left.photos if photo.path.name != "cut.jpg"]
    with pytest.raises(ValueError, match="validation: none of 0 photos has a face; name other"):
        left.open_all()


def test_an_error_that_is_none_of_the_photos_ends_the_validation(
    make_config, tmp_path, model, monkeypatch
):
    def stream(self, paths, *, on_error, **settings):
        on_error(Source(0, paths[0]), MemoryError("no room"))
        yield from ()

    validation = validation_of(make_config(tmp_path, validate_every=1))
    monkeypatch.setattr(FaceDetector, "stream", stream)
    with pytest.raises(MemoryError, match="no room"):
        validation.curve(model, Events(None), 1)
