import json
import re

import numpy as np
import pytest

from s3fd.evaluation import (
    PascalVocImage,
    evaluate_pascal_voc,
    in_voc_pixels,
    read_pascal_voc,
    read_pascal_voc_predictions,
)
from s3fd.file_kinds import PHOTO_SUFFIXES

A, B, C = [10, 10, 29, 29], [50, 10, 69, 29], [90, 10, 109, 29]
NOWHERE = [500, 500, 520, 520]


def image(name, *faces):
    """Faces are (box, counted)."""
    boxes = np.array([box for box, _ in faces], float).reshape(-1, 4)
    return PascalVocImage(name, boxes, np.array([counted for _, counted in faces], bool))


def evaluate(images, *found, **options):
    pairs = [([box for box, _ in faces], [score for _, score in faces]) for faces in found]
    return evaluate_pascal_voc(images, pairs, **options)


def test_misses_and_false_positives_lose_their_share():
    images = [image("a", (A, True), (B, True)), image("b", (C, True), (A, True))]
    result = evaluate(images, [(A, 0.9), (NOWHERE, 0.8)], [(C, 0.7), (C, 0.6)])
    assert [m.tolist() for m in result.matched] == [[0, -1], [0, -1]]
    assert result.curve.average_precision == pytest.approx((1 + 2 / 3) / 4)


def test_a_detection_of_a_face_to_ignore_counts_neither_way():
    result = evaluate([image("a", (A, False), (B, True))], [(A, 0.9), (A, 0.8), (B, 0.7)])
    assert result.matched[0].tolist() == [-2, -2, 1]
    assert (result.curve.faces, result.curve.average_precision) == (1, 1.0)


def test_a_detection_in_an_image_without_faces_is_a_false_positive():
    result = evaluate([image("a", (A, True)), image("b")], [(A, 0.8)], [(A, 0.9)])
    assert result.curve.average_precision == 0.5


def test_a_detection_has_one_chance_its_best_face():
    images = [image("a", (A, True), ([12, 10, 31, 29], True))]
    result = evaluate(images, [([12, 10, 31, 29], 0.9), ([12, 10, 31, 29], 0.8)])
    assert result.matched[0].tolist() == [1, -1]


def test_areas_count_pixels():
    images = [image("a", ([0, 0, 39, 0], True))]
    assert evaluate(images, [([0, 0, 19, 0], 0.9)]).matched[0].tolist() == [0]
    result = evaluate(images, [([0, 0, 19, 0], 0.9)], iou_threshold=0.51)
    assert result.matched[0].tolist() == [-1]


def test_no_images_have_no_average_precision():
    assert np.isnan(evaluate([]).curve.average_precision)


XML = """<annotation><object><name>face</name><difficult>{}</difficult><bndbox><xmin>1</xmin>
<ymin>2</ymin><xmax>30.5</xmax><ymax>40</ymax></bndbox></object><object><name>dog</name><bndbox>
<xmin>1</xmin></bndbox></object></annotation>"""


def test_a_folder_of_xml_files_is_read(tmp_path):
    (tmp_path / "one.xml").write_text(XML.format(0))
    (tmp_path / "two.xml").write_text(XML.format(1))
    (tmp_path / "none.xml").write_text("<annotation/>")
    (tmp_path / "._one.xml").write_bytes(b"\0\5\x16\x07")  # as macOS leaves them
    none, one, two = read_pascal_voc(tmp_path)
    assert (one.name, none.boxes.shape) == ("one", (0, 4))
    np.testing.assert_array_equal(one.boxes, [[1, 2, 30.5, 40]])
    assert (one.counted.tolist(), two.counted.tolist()) == ([True], [False])


@pytest.mark.parametrize(
    ("written", "label"),
    [("Face", None), ("human_face", None), ("FACE", "face"), ("head", "Head"), ("head ", "head")],
)
def test_faces_are_told_by_their_label_in_any_case(tmp_path, written, label):
    (tmp_path / "one.xml").write_text(XML.format(0).replace("<name>face", f"<name>{written}"))
    (image,) = read_pascal_voc(tmp_path, label)
    assert len(image.boxes) == 1


@pytest.mark.parametrize("label", ["head", "faces", None])
def test_a_label_that_no_file_has_is_an_error_that_lists_those_there_are(tmp_path, label):
    (tmp_path / "one.xml").write_text(XML.format(0).replace("face", "visage"))
    missing = (
        f"no class is called '{label or 'face'}', but there are 'dog', 'visage'; .* with label"
    )
    with pytest.raises(ValueError, match=missing):
        read_pascal_voc(tmp_path, label)


def test_xml_may_be_named_after_the_whole_name_of_its_photo(tmp_path):
    (tmp_path / "a.b.jpg.xml").write_text(XML.format(0))
    (image,) = read_pascal_voc(tmp_path)
    assert image.name == "a.b"
    (tmp_path / "a.b.xml").write_text(XML.format(0))
    with pytest.raises(ValueError, match=r"a\.b\.xml: is of the image a\.b, as a\.b\.jpg\.xml is"):
        read_pascal_voc(tmp_path)


def test_a_text_file_of_faces_is_read(tmp_path):
    file = tmp_path / "faces.txt"
    file.write_text("images/a.jpg 1 2 30 40\nb\na 5 6 7 8 1\nc 1 2 3 4 0\n")
    a, b, c = read_pascal_voc(file)
    assert [item.name for item in (a, b, c)] == ["a", "b", "c"]
    np.testing.assert_array_equal(a.boxes, [[1, 2, 30, 40], [5, 6, 7, 8]])
    assert (a.counted.tolist(), len(b.boxes), c.counted.tolist()) == ([True, False], 0, [True])


@pytest.mark.parametrize(
    "names",
    [
        ["2002/08/img_1.jpg", "2003/01/img_1.jpg"],
        ["img_1.jpg", "img_1.png"],
        ["img_1", "img_1.jpg", "08/img_1", "01/img_1"],
    ],
)
def test_two_images_that_would_have_one_name_are_refused(tmp_path, names):
    truth, found = tmp_path / "faces.txt", tmp_path / "found.txt"
    truth.write_text("".join(f"{name} 1 1 10 10\n" for name in names))
    found.write_text("".join(f"{name} 0.9 1 1 10 10\n" for name in names))
    last = rf"txt:{len(names)}: \S+ and {re.escape(names[-1])} would both be img_1: .*; rename"
    with pytest.raises(ValueError, match=f"faces.{last}"):
        read_pascal_voc(truth)
    with pytest.raises(ValueError, match=f"found.{last}"):
        read_pascal_voc_predictions(found, ["img_1"])


def test_an_image_may_be_named_in_full_and_in_short(tmp_path):
    names = ["08/img_1.jpg", "img_1", "2002/08/img_1", "IMG/2002/08/img_1.JPG", "img_1.jpg"]
    (tmp_path / "faces.txt").write_text("".join(f"{name} 1 1 10 10\n" for name in names))
    (image,) = read_pascal_voc(tmp_path / "faces.txt")
    assert (image.name, len(image.boxes)) == ("img_1", 5)


@pytest.mark.parametrize("line", ["a 1 2 3", "a 1 2 3 4 2", "a 1 2 3 4 0 1", "a 1 2 3 x"])
def test_a_malformed_face_is_named(tmp_path, line):
    file = tmp_path / "faces.txt"
    file.write_text(f"a 1 2 3 4\n{line}\n")
    with pytest.raises(ValueError, match=r"faces\.txt:2: expected image x1 y1 x2 y2"):
        read_pascal_voc(file)


@pytest.mark.parametrize("text", ["<annotation>", XML.format(0).replace("30.5", "wide")])
def test_a_malformed_xml_file_is_named(tmp_path, text):
    (tmp_path / "one.xml").write_text(text)
    with pytest.raises(ValueError, match=r"one\.xml: not labels in the form of PASCAL VOC"):
        read_pascal_voc(tmp_path)


def test_ground_truth_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no \.xml file"):
        read_pascal_voc(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_pascal_voc(tmp_path / "no.txt")


def test_detections_are_read_in_the_order_of_the_images(tmp_path):
    file = tmp_path / "found.txt"
    file.write_text("b.jpg 0.5 1 2 3 4\nx/a.png 0.25 5 6 7 8\nb 1e-3 2 3 4 5\n")
    ((boxes_a, scores_a), (boxes_b, scores_b), _), missing = read_pascal_voc_predictions(
        file, ["a", "b", "c"]
    )
    np.testing.assert_array_equal(boxes_a, [[5, 6, 7, 8]])
    np.testing.assert_array_equal(scores_a, [0.25])
    np.testing.assert_array_equal(boxes_b, [[1, 2, 3, 4], [2, 3, 4, 5]])
    np.testing.assert_array_equal(scores_b, [0.5, 1e-3])
    assert missing == ["c"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a 0.5 1 2 3", "found.txt:2: expected image score x1 y1 x2 y2"),
        ("a high 1 2 3 4", "found.txt:2: expected image score x1 y1 x2 y2"),
        ("a nan 1 2 3 4", "found.txt:2: expected finite numbers"),
        ("z 0.5 1 2 3 4", "z is no image of the ground truth"),
    ],
)
def test_malformed_detections_are_named(tmp_path, line, message):
    file = tmp_path / "found.txt"
    file.write_text(f"a 0.5 1 2 3 4\n{line}\n")
    with pytest.raises(ValueError, match=message):
        read_pascal_voc_predictions(file, ["a"])


def test_detections_that_are_not_there_are_named_as_such(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"predictions: .*found\.txt does not exist"):
        read_pascal_voc_predictions(tmp_path / "found.txt", ["a"])
    with pytest.raises(ValueError, match="predictions: expected a file, got the folder"):
        read_pascal_voc_predictions(tmp_path, ["a"])


def test_the_json_of_s3fd_detect_is_read(tmp_path):
    file = tmp_path / "found.jsonl"
    face = {"box": [1, 2, 3, 4], "score": 0.5}
    file.write_text(json.dumps({"photo": "afw/a.jpg", "width": 9, "height": 9, "faces": [face]}))
    ((boxes, scores),), missing = read_pascal_voc_predictions(file, ["a"])
    assert (boxes.tolist(), scores.tolist(), missing) == ([[2, 3, 3, 4]], [0.5], [])


def test_own_boxes_are_compared_in_the_pixels_of_the_labels(tmp_path):
    """The face has pixels 11 to 14, counted from 1, which is 10 to 14 on a continuous scale."""
    (tmp_path / "faces.txt").write_text("a 11 11 14 14\n")
    face = {"box": [10, 10, 14, 14], "score": 0.5}
    (tmp_path / "found.jsonl").write_text(json.dumps({"photo": "a.jpg", "faces": [face]}))
    (tmp_path / "found.txt").write_text("a 0.5 11 11 14 14\n")
    images = read_pascal_voc(tmp_path / "faces.txt")
    for name in ("found.jsonl", "found.txt"):
        found, _ = read_pascal_voc_predictions(tmp_path / name, ["a"])
        assert evaluate_pascal_voc(images, found, iou_threshold=1.0).matched[0].tolist() == [0]
    own = in_voc_pixels([([[10, 10, 14, 14]], [0.5]), ([], [])])
    assert evaluate_pascal_voc(images, own[:1], iou_threshold=1.0).matched[0].tolist() == [0]
    assert own[1][0].shape == (0, 4)


@pytest.mark.parametrize("suffix", sorted(PHOTO_SUFFIXES))
def test_a_photo_of_any_kind_is_known_by_its_name(tmp_path, suffix):
    own = [9, 9, 29, 29]  # A in VOC's pixels
    (tmp_path / "faces.txt").write_text(f"a.b{suffix} 10 10 29 29\n")
    (tmp_path / "found.json").write_text(
        json.dumps({"photo": f"x/a.b{suffix.upper()}", "faces": [{"box": own, "score": 0.9}]})
    )
    (truth,) = read_pascal_voc(tmp_path / "faces.txt")
    assert truth.name == "a.b"
    (found,), missing = read_pascal_voc_predictions(tmp_path / "found.json", ["a.b"])
    assert (found[0].tolist(), missing) == ([A], [])
