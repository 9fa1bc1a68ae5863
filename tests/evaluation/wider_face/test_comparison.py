import math

import numpy as np
import pytest

from s3fd.evaluation import WiderFaceGroundTruth, evaluate_wider_face

A, B, C = [10, 10, 29, 29], [50, 10, 69, 29], [90, 10, 109, 29]
NOWHERE = [500, 500, 520, 520]


def ground_truth(*images):
    """Each image is a list of (box, counted)."""
    boxes = np.array([box for image in images for box, _ in image], float).reshape(-1, 4)
    splits = np.cumsum([0, *map(len, images)])
    counted = np.array([counted for image in images for _, counted in image], bool)
    names = tuple(f"0--Event/{number}" for number in range(len(images)))
    return WiderFaceGroundTruth(names, boxes, splits, {"hard": counted}, "unknown", {})


def curve_of(truth, *images, **options):
    """Each image is a list of (box, score)."""
    pairs = [([box for box, _ in image], [score for _, score in image]) for image in images]
    return evaluate_wider_face(truth, pairs, **options).curve("hard")


def test_perfect_detections_have_an_average_precision_of_one():
    truth = ground_truth([(A, True), (B, True)], [(C, True)])
    curve = curve_of(truth, [(A, 0.9), (B, 0.2)], [(C, 0.7)])
    assert curve.average_precision == 1.0
    assert curve.recall[-1] == 1.0


def test_scores_are_stretched_over_the_whole_set():
    truth = ground_truth([(A, True)], [(B, True)])
    curve = curve_of(truth, [(A, 40.0)], [(B, 20.0), (NOWHERE, 30.0)])
    np.testing.assert_array_equal(curve.recall[[0, 498, 499, 998, 999]], [0.5, 0.5, 0.5, 0.5, 1])
    np.testing.assert_array_equal(curve.precision[[0, 498, 499, 999]], [1, 1, 0.5, 2 / 3])


def test_negative_scores_are_stretched_to_less_than_one_as_the_tool_does():
    curve = curve_of(ground_truth([(A, True)]), [(A, -1.0), (NOWHERE, -2.0)])
    assert curve.recall[498] == 0
    assert curve.recall[499] == 1


def test_areas_count_pixels():
    # 20 of 40 pixels: IoU 0.5; without the + 1 it would be 19 / 39.
    truth = ground_truth([([0, 0, 39, 0], True)])
    assert curve_of(truth, [([0, 0, 19, 0], 1.0), (NOWHERE, 0.0)]).recall[0] == 1


def test_a_detection_of_a_face_that_does_not_count_counts_neither_way():
    truth = ground_truth([(A, False), (B, True)])
    curve = curve_of(truth, [(A, 0.9), (A, 0.8), (B, 0.7), (NOWHERE, 0.0)])
    assert np.nanmax(curve.precision) == 1
    assert curve.precision[-1] == 0.5


def test_a_detection_has_one_chance_its_best_face():
    # It overlaps both by more than half, the one that does not count more.
    truth = ground_truth([([10, 10, 29, 29], True), ([12, 10, 31, 29], False)])
    curve = curve_of(truth, [([12, 10, 31, 29], 0.9), (NOWHERE, 0.0)])
    assert curve.recall[-1] == 0
    # A taken face is not given up for its free neighbour either.
    truth = ground_truth([([10, 10, 29, 29], True), ([12, 10, 31, 29], True)])
    curve = curve_of(truth, [([12, 10, 31, 29], 0.9), ([12, 10, 31, 29], 0.8), (NOWHERE, 0.0)])
    assert curve.recall[-1] == 0.5
    assert curve.precision[-1] == pytest.approx(1 / 3)


def test_false_positives_in_an_image_without_counted_faces_count():
    truth = ground_truth([(A, True)], [(B, False)])
    assert curve_of(truth, [(A, 0.9)], [(NOWHERE, 0.9), (B, 0.0)]).precision[-1] == 0.5


def test_an_image_without_any_face_is_left_out_but_its_scores_are_stretched_along():
    truth = ground_truth([(A, True)], [])
    curve = curve_of(truth, [(A, 0.5)], [(NOWHERE, 1.0), (NOWHERE, 0.0)])
    assert curve.precision[-1] == 1
    assert curve.recall[498] == 0
    assert curve.recall[499] == 1


def test_equal_scores_keep_their_order():
    truth = ground_truth([(A, True)])
    nearby = [11, 10, 30, 29]
    pairs = [([NOWHERE, nearby, A], [0.0, 0.5, 0.5])]
    (matched,) = evaluate_wider_face(truth, pairs).matched("hard")
    np.testing.assert_array_equal(matched, [-1, 0, -1])


def test_matches_are_told_in_the_order_of_the_detections():
    truth = ground_truth([(A, True), (B, False)], [], [(C, True)])
    pairs = [([B, A, NOWHERE, A], [0.1, 0.2, 0.3, 0.4]), ([A], [0.5]), ([], [])]
    matched = evaluate_wider_face(truth, pairs).matched("hard")
    assert [m.tolist() for m in matched] == [[-2, -1, -1, 0], [-1], []]


def test_without_detections_the_average_precision_is_zero():
    curve = curve_of(ground_truth([(A, True)]), [])
    assert curve.average_precision == 0
    assert np.isnan(curve.precision).all()


def test_without_a_counted_face_the_average_precision_is_nan():
    curve = curve_of(ground_truth([(A, False)]), [(A, 0.5), (B, 0.1)])
    assert math.isnan(curve.average_precision)


def test_equal_scores_alone_find_nothing_as_in_the_tool_and_warn():
    with pytest.warns(UserWarning, match=r"all scores are 0\.5"):
        curve = curve_of(ground_truth([(A, True)]), [(A, 0.5)])
    assert curve.average_precision == 0


def test_another_overlap_can_be_asked_for():
    truth = ground_truth([(A, True)])
    shifted = [15, 10, 34, 29]  # IoU 0.6
    result = evaluate_wider_face(truth, [([shifted, NOWHERE], [0.9, 0.1])])
    assert result.curve("hard", 0.6).average_precision == 1
    assert result.curve("hard", 0.61).average_precision == 0
    with pytest.raises(ValueError, match="iou_threshold: expected"):
        result.curve("hard", 0)
    with pytest.raises(ValueError, match="setting: expected one of hard, got 'harder'"):
        result.curve("harder")


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (([A], [math.nan]), r"detections of 0--Event/0\[1\]: score 0 is NaN"),
        (([A], [math.inf]), "detections of 0--Event/0: expected finite scores"),
        (([A], [0.5, 0.4]), r"0--Event/0\[1\]: expected 1 scores"),
        (([A[:3]], [0.5]), r"0--Event/0\[0\]: expected boxes \[N, 4\]"),
    ],
)
def test_bad_detections_are_named(pair, message):
    with pytest.raises(ValueError, match=message):
        evaluate_wider_face(ground_truth([(A, True)]), [pair])


def test_detections_of_another_number_of_images_are_refused():
    with pytest.raises(ValueError, match="one pair for each of 1 images, got 2"):
        evaluate_wider_face(ground_truth([(A, True)]), [([], [])] * 2)
