import json

import numpy as np
import pytest

from s3fd.data import AnnotatedImage, Augmentation
from s3fd.training.distractors import with_distractors
from s3fd.training.photos import RunPhotos

FACE = [[10, 10, 50, 50]]
UNKNOWN = [[100, 10, 140, 50]]


def photo(name, faces=FACE, ignore=UNKNOWN):
    rows = (np.array(boxes, np.float32).reshape(-1, 4) for boxes in (faces, ignore))
    return AnnotatedImage(name, 200, 100, *rows)


@pytest.fixture
def photos(tmp_path):
    return [photo(tmp_path / "set" / name) for name in ("a.jpg", "b.jpg")]


@pytest.fixture
def detected(tmp_path):
    """Writes what was found, by the name of the photo."""

    def write(_to="found", **found):
        lines = (
            {"photo": f"elsewhere/{name}.jpg", "width": 200, "height": 100,
             "faces": [{"box": box, "score": 0.5} for box in boxes]}
            for name, boxes in found.items()
        )  # fmt: skip
        file = tmp_path / f"{_to}.jsonl"
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return file

    return write


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ([60, 60, 90, 90], True),  # meets nothing
        ([10, 10, 50, 50], False),  # the face
        ([10, 10, 34, 34], False),  # still it: an IoU of 0.36
        ([40, 40, 50, 50], True),  # an ear: in the face, but no face
        ([40, 10, 80, 50], True),  # a hand beside it
        ([100, 10, 140, 50], False),  # what may be one
        ([100, 10, 110, 20], False),  # a part of that
        ([130, 10, 170, 50], True),  # a quarter of it lies there
        ([60, 60, 67, 90], False),  # too small to tell
        ([90, 60, 60, 90], False),  # inside out
    ],
)
def test_what_meets_no_label_is_a_distractor(photos, detected, box, kept):
    another = [60, 60, 90, 90]
    first, second = with_distractors(photos, [detected(a=[box, another])])
    assert first.distractors.tolist() == ([box, another] if kept else [another])
    assert first.distractors.dtype == np.float32
    assert second is photos[1]
    assert first.boxes is photos[0].boxes


def test_a_photo_without_labels_has_distractors_too(tmp_path, detected):
    empty = photo(tmp_path / "a.jpg", [], [])
    (found,) = with_distractors([empty], [detected(a=FACE)])
    assert found.distractors.tolist() == FACE


def test_of_several_files_each_thing_counts_once(photos, detected):
    files = [
        detected("large", a=[[60, 60, 90, 90]], b=[]),
        detected("small", a=[[62, 58, 92, 88], [0, 60, 30, 90]], b=[[0, 60, 30, 90], FACE[0]]),
        detected("smaller", a=[[1, 61, 31, 91], [150, 60, 180, 90]]),
    ]
    first, second = with_distractors(photos, files)
    assert first.distractors.tolist() == [[60, 60, 90, 90], [0, 60, 30, 90], [150, 60, 180, 90]]
    assert second.distractors.tolist() == [[0, 60, 30, 90]]
    with pytest.raises(ValueError, match=r"distractors: 1 of the 1 photos in .*useless\.jsonl"):
        with_distractors(photos, [*files, detected("useless", a=FACE)])


def test_a_file_that_is_of_no_use_is_an_error(photos, detected, tmp_path):
    for found in ({}, {"a": []}, {"a": FACE}, {"c": [[60, 60, 90, 90]]}):
        with pytest.raises(ValueError, match=r"distractors: .*s3fd detect DIR --json"):
            with_distractors(photos, [detected(**found)])
    with pytest.raises(FileNotFoundError, match="gone"):
        with_distractors(photos, [tmp_path / "gone.jsonl"])


def test_names_that_are_not_one_photos_are_an_error(tmp_path, detected):
    twice = [photo(tmp_path / folder / "a.jpg") for folder in ("one", "other")]
    with pytest.raises(ValueError, match="several photos, such as a;"):
        with_distractors(twice, [detected(a=[[60, 60, 90, 90]])])
    both = with_distractors([*twice, photo(tmp_path / "b.jpg")], [detected(b=[[60, 60, 90, 90]])])
    assert [len(found.distractors) for found in both] == [0, 0, 1]


def test_a_run_shows_and_tells_of_its_distractors(make_config, data, tmp_path, detected):
    named = RunPhotos.from_config(make_config(tmp_path / "run", validate_every=0)).training.photos
    file = detected(**{named[0].path.stem: [[0, 0, 9, 9]] * 2})
    config = make_config(
        tmp_path / "run",
        validate_every=0,
        distractors=(file,),
        augmentation=Augmentation(crop="size", distractors=0.2),
    )
    photos = RunPhotos.from_config(config)
    assert "distractors: 2 in 1 photos" in photos.summary()


@pytest.mark.parametrize(
    "augmentation", [Augmentation(crop="face", distractors=0.2), Augmentation(crop="size")]
)
def test_distractors_that_would_not_be_shown_are_an_error(make_config, tmp_path, augmentation):
    with pytest.raises(ValueError, match=r"distractors: they are shown if augmentation\.crop"):
        make_config(tmp_path / "run", distractors=(tmp_path,), augmentation=augmentation)
