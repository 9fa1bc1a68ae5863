import json

import numpy as np
import pytest

from s3fd.evaluation import WiderFaceGroundTruth, read_wider_face_predictions

IMAGES = ("0--Parade/0_Parade_1", "0--Parade/0_Parade_2", "7--Cheering/7_Cheering_1")
TRUTH = WiderFaceGroundTruth(IMAGES, np.empty((0, 4)), np.zeros(4, np.int64), {}, "unknown", {})
FILE = "0_Parade_1\n2\n10 20 30.5 40 0.9\n-1.5 2e1 3 4 1e-3\n"


@pytest.fixture
def folder(tmp_path):
    for image in IMAGES:
        (tmp_path / image).parent.mkdir(exist_ok=True)
        name = image.split("/")[1]
        (tmp_path / f"{image}.txt").write_text(f"{name}\n0\n")
    return tmp_path


def write(folder, text, image=IMAGES[0]):
    (folder / f"{image}.txt").write_bytes(text.encode())


def test_boxes_and_scores_are_read_in_the_order_of_the_ground_truth(folder):
    write(folder, FILE)
    write(folder, "7_Cheering_1\n1\n1 2 3 4 0.5\n", IMAGES[2])
    predictions = read_wider_face_predictions(folder, TRUTH)
    boxes, scores = predictions.detections[0]
    np.testing.assert_array_equal(boxes, [[10, 20, 40.5, 60], [-1.5, 20, 1.5, 24]])
    np.testing.assert_array_equal(scores, [0.9, 1e-3])
    assert predictions.detections[1][0].shape == (0, 4)
    np.testing.assert_array_equal(predictions.detections[2][1], [0.5])
    assert predictions.missing == []


@pytest.mark.parametrize(
    "text",
    [
        FILE.replace("\n", "\r\n"),
        FILE.replace(" ", "\t"),
        FILE.replace("0_Parade_1", "0--Parade/0_Parade_1.jpg"),
        FILE.replace("0_Parade_1", "/data/WIDER_val/images/0--Parade/0_Parade_1.jpg"),
        FILE.rstrip("\n"),
        FILE + "\n\n",
        "\ufeff" + FILE,
        FILE.replace("10 20", "+10   20.0"),
    ],
)
def test_the_ways_that_people_write_these_files_are_read(folder, text):
    write(folder, text)
    boxes, _ = read_wider_face_predictions(folder, TRUTH).detections[0]
    np.testing.assert_array_equal(boxes, [[10, 20, 40.5, 60], [-1.5, 20, 1.5, 24]])


def test_an_image_without_a_file_is_named_and_has_no_detections(folder):
    (folder / f"{IMAGES[1]}.txt").unlink()
    predictions = read_wider_face_predictions(folder, TRUTH)
    assert predictions.missing == [IMAGES[1]]
    assert len(predictions.detections[1][1]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"0_Parade_1\.txt: is empty"),
        ("\n\n", "is empty"),
        ("0_Parade_1", "1.txt:2: expected the number of detections, got ''"),
        (FILE.replace("\n2\n", "\n10 20 30.5 40 0.9\n"), "1.txt:2: expected the number"),
        (FILE.replace("\n2\n", "\n3\n"), "says 3 detections, but has 2: it is truncated"),
        (FILE.replace("\n2\n", "\n1\n"), "says 1 detections, but has 2"),
        (FILE[:-6], "1.txt:4: expected x y width height score, got '-1.5 2e1 3 4'"),
        (FILE.replace("0.9", "0.9 1"), "1.txt:3: expected x y width height score, got '10 20 30"),
        (FILE.replace("0.9", "good"), "1.txt:3: expected .* got '10 20 30.5 40 good'"),
        (FILE.replace("0.9", "0.9.1"), "1.txt:3: expected x y width"),
        (FILE.replace("10 20", "10,20"), "1.txt:3: expected x y width"),
        (FILE.replace("0.9", "nan"), "the score of detection 1 is nan"),
        (FILE.replace("1e-3", "inf"), "the score of detection 2 is inf"),
        (FILE.replace("2e1", "-inf"), "the box of detection 2 is not finite"),
        (FILE.replace("0_Parade_1", "0_Parade_2"), "1.txt:1: expected the name of its image"),
    ],
)
def test_a_bad_file_is_one_clear_error(folder, text, message):
    write(folder, text)
    with pytest.raises(ValueError, match=message):
        read_wider_face_predictions(folder, TRUTH)


def test_a_misnamed_file_is_an_error_that_guesses(folder):
    (folder / "0--Parade" / "0_Parade_1.txt").rename(folder / "0--Parade" / "0_Parode_1.txt")
    with pytest.raises(ValueError, match=r"0_Parode_1\.txt: belongs to no image; did you mean"):
        read_wider_face_predictions(folder, TRUTH)


def test_a_missing_event_is_an_error(folder):
    (folder / "7--Cheering").rename(folder / "7--Chering")
    with pytest.raises(FileNotFoundError, match=r"7--Cheering does not exist.*mean 7--Chering"):
        read_wider_face_predictions(folder, TRUTH)


def test_a_missing_folder_and_one_without_predictions_are_errors(folder):
    with pytest.raises(FileNotFoundError, match="expected a folder with one for each event"):
        read_wider_face_predictions(folder / "no", TRUTH)
    for image in IMAGES:
        (folder / f"{image}.txt").unlink()
    with pytest.raises(ValueError, match="has no prediction for any image"):
        read_wider_face_predictions(folder, TRUTH)


def json_line(photo, *faces):
    boxes = [{"box": box, "score": score} for box, score in faces]
    return json.dumps({"photo": photo, "width": 9, "height": 9, "faces": boxes})


def test_the_json_of_s3fd_detect_is_read(tmp_path):
    lines = [
        json_line(f"WIDER_val/images/{IMAGES[2]}.jpg", ([1, 2, 3, 4], 0.5), ([5, 6, 7, 8], 0.25)),
        json_line(f"{IMAGES[0]}.jpg"),
    ]
    file = tmp_path / "faces.jsonl"
    file.write_text("\n".join(lines) + "\n")
    predictions = read_wider_face_predictions(file, TRUTH)
    boxes, scores = predictions.detections[2]
    np.testing.assert_array_equal(boxes, [[1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(scores, [0.5, 0.25])
    assert predictions.missing == [IMAGES[1]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"photo": '], "jsonl:1: expected an object with photo"),
        (['{"photo": "a.jpg"}'], "jsonl:1: expected an object with photo"),
        (["[]"], "jsonl:1: expected an object with photo"),
        (['{"photo": "a.jpg", "error": "not a picture"}'], r"a.jpg was not read \(not a picture\)"),
        ([json_line("0--Parade/a.jpg")], "0--Parade/a is no image of the ground truth"),
        ([json_line(IMAGES[0] + ".jpg")] * 2, "jsonl:2: 0--Parade/0_Parade_1 comes twice"),
        ([json_line(IMAGES[0], ([1, 2, 3, 4], float("nan")))], "score of detection 1 is nan"),
        ([json_line(IMAGES[0], ([1, 2, 3], 0.5))], "jsonl:1: expected an object"),
        ([json_line(IMAGES[0], ([[1, 2], 2, 3, 4], 0.5))], "jsonl:1: expected an object"),
        ([json_line(IMAGES[0], ([1, 2, 3, 10**400], 0.5))], "jsonl:1: expected an object"),
        (['{"photo": 7, "faces": []}'], "jsonl:1: expected an object"),
        (['{"photo": ' + "[" * 100_000], "jsonl:1: expected an object"),
        ([], "has no detections for any of the 3 images"),
    ],
)
def test_bad_json_is_one_clear_error(tmp_path, lines, message):
    file = tmp_path / "faces.jsonl"
    file.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        read_wider_face_predictions(file, TRUTH)
