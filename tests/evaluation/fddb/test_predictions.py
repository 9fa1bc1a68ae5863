import json
import math
from pathlib import Path

import numpy as np
import pytest

from s3fd.data.formats.fddb import ellipse_boxes
from s3fd.evaluation import (
    EllipseRegression,
    FddbPhoto,
    read_fddb_predictions,
    regress_ellipses,
)

NAMES = ["2002/08/11/big/img_1", "2002/08/26/big/img_2", "2003/01/01/big/img_3"]
RECTANGLES = f"{NAMES[0]}\n2\n10 20 30 40 0.9\n-1.5 2e1 3 4 0.1\n{NAMES[1]}\n0\n"


def read(tmp_path, text, names=NAMES):
    file = tmp_path / "found.txt"
    file.write_text(text)
    return read_fddb_predictions(file, names)


def test_rectangles_are_read_as_boxes_and_photos_without_an_entry_are_named(tmp_path):
    (first, second, third), missing = read(tmp_path, RECTANGLES)
    np.testing.assert_array_equal(first[0], [[10, 20, 40, 60], [-1.5, 20, 1.5, 24]])
    np.testing.assert_array_equal(first[1], [0.9, 0.1])
    assert second[0].shape == third[0].shape == (0, 4)
    assert missing == [NAMES[2]]


def test_ellipses_are_read(tmp_path):
    (first, _, _), _ = read(tmp_path, f"{NAMES[0]}\n1\n20 10 1.5 50 60 0.9\n")
    np.testing.assert_array_equal(first[0], [[20, 10, 1.5, 50, 60]])
    np.testing.assert_array_equal(first[1], [0.9])


def test_photos_that_are_not_evaluated_are_passed_over(tmp_path):
    (first,), missing = read(tmp_path, RECTANGLES, NAMES[:1])
    assert (len(first[1]), missing) == (2, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RECTANGLES.replace("\n2\n", "\n3\n"), r"txt:5: detection 3 of 3 in 2002/08/11/big/img_1"),
        (RECTANGLES.replace("\n2\n", "\n1\n"), r"txt:4: expected the name of a photo, got '-1.5 "),
        (RECTANGLES.replace("\n2\n", "\n"), "txt:2: expected the number of detections in"),
        (RECTANGLES.replace("0.9", "good"), "txt:3: detection 1 of 2"),
        (RECTANGLES.replace("0.9", "nan"), "the score of detection 1 is nan"),
        (RECTANGLES.replace("0.9", "0.5 0.9"), "txt:4: .*: expected rectangles alone, or ellipses"),
        (RECTANGLES + RECTANGLES, f"txt:7: {NAMES[0]} comes twice"),
        (RECTANGLES[:20], "txt:2: expected the number of detections in .* the end of the file"),
        ("other\n0\n", "has no detections for any of the 3 images"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"predictions: .*no\.txt does not exist"):
        read_fddb_predictions(tmp_path / "no.txt", NAMES)


def test_the_json_of_s3fd_detect_is_read(tmp_path):
    file = tmp_path / "found.jsonl"
    face = {"box": [1, 2, 3, 4], "score": 0.5}
    photo = f"fddb/images/{NAMES[1]}.jpg"
    line = json.dumps({"photo": photo, "width": 9, "height": 9, "faces": [face]})
    file.write_text(line, encoding="utf-8-sig")
    (_, (boxes, scores), _), missing = read_fddb_predictions(file, NAMES)
    assert (boxes.tolist(), scores.tolist()) == ([[1, 2, 3, 4]], [0.5])
    assert missing == [NAMES[0], NAMES[2]]


def ellipses_in(boxes):
    """A made-up rule: 0.6 of the height, 0.45 of the width, a little to the right, tilted."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    angle = np.full(len(boxes), math.pi / 2 + 0.1)
    return np.stack([0.6 * height, 0.45 * width, angle, x + 0.05 * width, y], axis=1)


def random_boxes(seed, number=20):
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 300, (number, 2))
    return np.hstack([corners, corners + random.uniform([30, 40], [60, 90], (number, 2))])


def test_a_regression_finds_the_rule_between_boxes_and_ellipses():
    boxes, others = random_boxes(1), random_boxes(2)
    ellipses = ellipses_in(boxes)
    ellipses[::2, 2] -= math.pi  # the same axis
    regression = EllipseRegression.fit(boxes, ellipses)
    np.testing.assert_allclose(regression(others), ellipses_in(others), rtol=1e-6)
    assert regression(np.empty((0, 4))).shape == (0, 5)


def photos_of(*folds):
    photos = []
    for number, fold in enumerate(folds):
        ellipses = ellipses_in(random_boxes(number, 1))
        photos.append(FddbPhoto(str(number), fold, Path("none"), ellipses))
    return photos


def test_no_fold_learns_from_its_own_faces():
    photos = photos_of(1, 1, 1, 2, 2, 2)
    found = [(ellipse_boxes(p.ellipses).astype(float), np.array([0.9])) for p in photos]
    whole = regress_ellipses(photos, found)
    assert all(regions.shape == (1, 5) for regions, _ in whole)
    # Other faces of fold 1 change the ellipses of fold 2, and not those of fold 1.
    photos[0] = FddbPhoto("0", 1, Path("none"), photos[0].ellipses * [1, 0.9, 1, 1, 1])
    again = regress_ellipses(photos, found)
    for index, (before, after) in enumerate(zip(whole, again, strict=True)):
        assert np.array_equal(before[0], after[0]) == (photos[index].fold == 1)


def test_what_can_not_be_regressed_is_an_error():
    boxes = (np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([0.5]))
    with pytest.raises(ValueError, match="expected two folds or more"):
        regress_ellipses(photos_of(1, 1), [boxes] * 2)
    ellipse = (np.ones((1, 5)), np.array([0.5]))
    with pytest.raises(ValueError, match="ellipses need no regression"):
        regress_ellipses(photos_of(1, 2), [ellipse] * 2)
    with pytest.raises(ValueError, match="expected two pairs or more to learn from, got 0"):
        regress_ellipses(photos_of(1, 2), [boxes] * 2)
