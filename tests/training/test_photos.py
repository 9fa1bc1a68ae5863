import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from s3fd.data.photo import open_photo
from s3fd.training.photos import RunPhotos


@pytest.fixture
def unsplit(tmp_path):
    """One COCO file of 30 photos, as many people have it."""
    images = [
        {"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in range(30)
    ]  # fmt: skip
    boxes = [{"image_id": i, "bbox": [1, 1, 5, 5], "category_id": 1} for i in range(30)]
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "face"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    return tmp_path


def names(photo_set):
    return [photo.path.name for photo in photo_set.photos]


def test_labels_without_splits_lend_a_tenth_to_the_validation(make_config, unsplit, tmp_path):
    config = make_config(tmp_path / "run", data=unsplit, validate_every=1)
    photos = RunPhotos.from_config(config)
    trained, held_out = names(photos.training), names(photos.validation)
    assert (len(trained), len(held_out)) == (27, 3)
    assert sorted(trained + held_out, key=lambda n: int(n[:-4])) == [f"{i}.png" for i in range(30)]
    assert names(RunPhotos.from_config(config).validation) == held_out
    summary = photos.summary()
    assert "27 photos" in summary[0]
    assert summary[1].startswith("validation, held out since the labels have no splits: ")
    assert "3 photos" in summary[1]


def test_nothing_is_held_out_of_a_run_without_validations(make_config, unsplit, tmp_path):
    photos = RunPhotos.from_config(make_config(tmp_path / "run", data=unsplit, validate_every=0))
    assert len(photos.training.photos) == 30
    assert photos.validation is None


def test_labels_with_splits_are_validated_on_theirs(make_config, data, tmp_path):
    photos = RunPhotos.from_config(make_config(tmp_path, validate_every=1))
    assert (len(photos.training.photos), len(photos.validation.photos)) == (12, 4)
    assert photos.summary()[1].startswith(f"validation: {data}")


def test_labels_without_the_split_val_lend_a_tenth_to_the_validation(make_config, data, tmp_path):
    content = json.loads((data / "annotations.json").read_text())
    content["images"] = [entry for entry in content["images"] if entry["split"] == "train"]
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    photos = RunPhotos.from_config(make_config(tmp_path / "run", data=tmp_path, validate_every=1))
    trained, held_out = names(photos.training), names(photos.validation)
    assert (len(trained), len(held_out)) == (11, 1)
    assert not set(trained) & set(held_out)
    said = "validation, held out since the labels have no split 'val': "
    assert photos.summary()[1].startswith(said)


def test_the_classes_that_are_faces_can_be_named(make_config, unsplit, tmp_path):
    file = unsplit / "annotations.json"
    file.write_text(file.read_text().replace('"face"', '"head"'))
    config = make_config(tmp_path / "run", data=unsplit, validate_every=1, classes=("head",))
    photos = RunPhotos.from_config(config)
    assert all(len(photo.boxes) for photo in photos.validation.photos)


def test_classes_are_not_asked_of_a_validation_whose_labels_have_none(
    make_config, unsplit, data, tmp_path
):
    file = unsplit / "annotations.json"
    file.write_text(file.read_text().replace('"face"', '"head"'))
    settings = {"data": unsplit, "validate_every": 1, "classes": ("head",)}
    photos = RunPhotos.from_config(make_config(tmp_path / "run", validation=data, **settings))
    assert all(len(photo.boxes) for photo in photos.training.photos)
    assert len(photos.validation.photos) == 4
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        RunPhotos.from_config(make_config(tmp_path, validation=tmp_path / "gone", **settings))


def test_photos_that_are_trained_on_are_not_validated_on(make_config, unsplit, tmp_path):
    config = make_config(tmp_path / "run", data=unsplit, validation=unsplit, validate_every=1)
    with pytest.raises(ValueError, match="validation: 30 of 30 photos are trained on too"):
        RunPhotos.from_config(config)


def test_links_to_photos_that_are_trained_on_are_not_validated_on(make_config, unsplit, tmp_path):
    (tmp_path / "other").symlink_to(unsplit, target_is_directory=True)
    other = tmp_path / "other"
    config = make_config(tmp_path / "run", data=unsplit, validation=other, validate_every=1)
    with pytest.raises(ValueError, match="validation: 30 of 30 photos are trained on too"):
        RunPhotos.from_config(config)


def test_faces_are_learned_larger_than_labelled_and_validated_as_labelled(
    make_config, unsplit, tmp_path
):
    config = make_config(tmp_path / "run", data=unsplit, validate_every=1)
    config = replace(config, box_margins=(0.2, 0.4, 0.1))
    photos = RunPhotos.from_config(config)
    for photo in photos.training.photos:  # labelled: 5 px from (1, 1)
        np.testing.assert_allclose(photo.boxes, [[0, -1, 7, 6.5]], rtol=1e-6)
    for photo in photos.validation.photos:
        np.testing.assert_array_equal(photo.boxes, [[1, 1, 6, 6]])


def test_faces_grow_no_further_than_their_photo(make_config, unsplit, tmp_path):
    config = replace(make_config(tmp_path / "run", data=unsplit), box_margins=(0.5, 0.5, 0.5))
    first = next(p for p in RunPhotos.from_config(config).training.photos if p.path.stem == "0")
    with open_photo(first) as photo:
        np.testing.assert_array_equal(photo.boxes, [[0, 0, 8, 8]])


@pytest.mark.parametrize(
    "margins", [(), (0.1,), (0.1, 0.1, 0.1, 0.1), (-0.1, 0, 0), (0, 1.1, 0), (0, 0, math.nan)]
)
def test_margins_that_are_none_are_an_error(make_config, tmp_path, margins):
    with pytest.raises(ValueError, match="box_margins: expected those of the sides, the top"):
        make_config(tmp_path, box_margins=margins)
