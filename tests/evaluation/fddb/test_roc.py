import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3fd.evaluation import FddbPhoto, evaluate_fddb, read_fddb

FACE, OTHER = (20.0, 15.0, math.pi / 2, 60.0, 60.0), (20.0, 15.0, math.pi / 2, 160.0, 60.0)
NOWHERE = (20.0, 15.0, 0.0, 160.0, 200.0)
SIZE = (400, 450)


def photo(*ellipses, fold=1):
    rows = np.array(ellipses, float).reshape(-1, 5)
    return FddbPhoto("name", fold, Path("name.jpg"), rows)


def evaluate(photos, *found, sizes=None):
    """Each of ``found`` is a list of (region, score)."""
    pairs = [([region for region, _ in faces], [score for _, score in faces]) for faces in found]
    return evaluate_fddb(photos, pairs, sizes=sizes or [SIZE] * len(photos))


def overlap(face, region, size=SIZE):
    """IoU as the continuous score of one detection and one face."""
    return evaluate([photo(face)], [(region, 0.5)], sizes=[size]).continuous.true_positive_rate[0]


@pytest.mark.parametrize(
    ("ellipse", "box", "expected"),
    [  # drawn by OpenCV 5, filled, and counted
        ((1, 1, 0, 50, 50), (49.2, 49.05, 51.0, 50.95), 0.5556),
        ((8.4, 6.2, 1.4, 60.5, 70.5), (55.54, 62.52, 66.7, 78.48), 0.6919),
        ((13.9, 9.1, -1.3, 100.2, 80.7), (92.92, 67.49, 109.3, 93.91), 0.7345),
        ((62.3, 44.9, 1.48, 200.4, 150.6), (164.48, 91.41, 245.3, 209.78), 0.8006),
        ((123.58, 85.55, 1.265839, 269.69, 161.78), (201.25, 44.38, 355.24, 279.18), 0.7919),
        ((90, 60, -1.2, 20, 30), (-28.0, -55.5, 80.0, 115.5), 0.8097),
        ((295.2, 200.1, 1.5, 300, 300), (139.92, 19.56, 500.1, 580.44), 0.8672),
    ],
)
def test_regions_overlap_as_opencv_draws_them(ellipse, box, expected):
    assert overlap(ellipse, box) == pytest.approx(expected, abs=0.01)


def test_rectangles_have_their_corners_on_whole_pixels():
    ellipse = (50.0, 50.0, 0.0, 200.0, 200.0)
    for box in ((150, 150, 250, 250), (149.6, 150.4, 250.4, 249.6)):
        assert overlap(ellipse, box) == overlap(ellipse, (150.0, 150.0, 250.0, 250.0))


def test_regions_are_cut_at_the_border_of_a_photo_whose_size_is_known():
    ellipse, box = (40.0, 40.0, 0.0, 0.0, 0.0), (0.0, 0.0, 30.0, 30.0)
    quarter = overlap(ellipse, box)
    assert overlap(ellipse, box, size=None) == pytest.approx(quarter / 4, abs=0.02)
    assert evaluate([photo(ellipse)], [(box, 1)], sizes=[None]).clipped == 0
    assert evaluate([photo(ellipse)], [(box, 1)]).clipped == 1


def test_the_ellipses_themselves_are_perfect():
    result = evaluate([photo(FACE, OTHER)], [(FACE, 0.9), (OTHER, 0.8)])
    for curve in (result.discrete, result.continuous):
        np.testing.assert_array_equal(curve.scores, [0.9, 0.8])
        np.testing.assert_array_equal(curve.true_positive_rate, [0.5, 1])
        np.testing.assert_array_equal(curve.false_positives, [0, 0])
    assert result.matched[0].tolist() == [0, 1]


def test_a_duplicate_and_a_detection_of_nothing_are_false_positives():
    result = evaluate([photo(FACE)], [(FACE, 0.9), (FACE, 0.8), (NOWHERE, 0.7)])
    np.testing.assert_array_equal(result.discrete.false_positives, [0, 1, 2])
    np.testing.assert_array_equal(result.discrete.true_positive_rate, [1, 1, 1])
    assert result.matched[0].tolist() == [0, -1, -1]


def test_half_an_overlap_is_not_enough_but_counts_half_on_the_continuous_curve():
    cross = (1.0, 1.0, 0.0, 50.0, 50.0)  # five pixels
    result = evaluate([photo(cross)], [((49, 50, 52, 50), 0.5)])  # three of them, and one more
    assert result.continuous.true_positive_rate.tolist() == [0.5]
    assert result.discrete.true_positive_rate.tolist() == [0]
    assert result.discrete.false_positives.tolist() == [1]
    assert result.continuous.false_positives.tolist() == [1]


def test_equal_scores_enter_together_in_all_photos():
    photos = [photo(FACE), photo(FACE)]
    result = evaluate(photos, [(FACE, 0.5)], [(NOWHERE, 0.5), (FACE, 0.25)])
    np.testing.assert_array_equal(result.discrete.scores, [0.5, 0.25])
    np.testing.assert_array_equal(result.discrete.true_positive_rate, [0.5, 1])
    np.testing.assert_array_equal(result.discrete.false_positives, [1, 1])


def test_a_rate_is_read_at_a_number_of_false_positives():
    result = evaluate([photo(FACE, OTHER)], [(NOWHERE, 0.9), (FACE, 0.8), (OTHER, 0.7)])
    assert [result.discrete.at(count) for count in (0, 1, 5)] == [0, 1, 1]


def test_folds_have_curves_of_their_own():
    photos = [photo(FACE, fold=1), photo(OTHER, fold=3), photo(fold=0)]
    result = evaluate(photos, [(FACE, 0.9)], [(FACE, 0.8)], [])
    folds = result.folds()
    assert sorted(folds) == [1, 3]
    assert [folds[fold][0].faces for fold in (1, 3)] == [1, 1]
    assert [folds[fold][0].at(1) for fold in (1, 3)] == [1, 0]


def test_without_detections_or_faces_there_is_nothing_to_count():
    result = evaluate([photo(FACE)], [])
    assert result.discrete.scores.shape == (0,)
    assert result.discrete.at(100) == 0
    result = evaluate([photo()], [(FACE, 0.5)])
    assert result.discrete.false_positives.tolist() == [1]
    assert np.isnan(result.discrete.true_positive_rate).all()
    assert evaluate([]).discrete.faces == 0


def best_assignment(table):
    """(sum, number above 0.5) of the one-to-one assignment with the largest sum, by trying all."""
    rows, columns = len(table), len(table[0]) if table else 0
    if rows > columns:
        table, rows, columns = [*map(list, zip(*table, strict=True))], columns, rows
    tried = (
        [table[i][j] for i, j in enumerate(chosen)]
        for chosen in itertools.permutations(range(columns), rows)
    )
    return max(((sum(t), sum(value > 0.5 for value in t)) for t in tried), default=(0, 0))


position = st.integers(0, 8).map(lambda step: 40.0 + 6 * step)
ellipse = st.tuples(st.just(24.0), st.just(17.0), st.just(math.pi / 2), position, position)
detection = st.tuples(ellipse, st.sampled_from([0.25, 0.5, 0.75, 1.0]))
crowd = st.tuples(st.lists(ellipse, max_size=4), st.lists(detection, max_size=4))


@given(st.lists(crowd, max_size=3))
def test_the_curves_are_those_of_the_best_assignment_at_each_score(photos):
    result = evaluate([photo(*faces) for faces, _ in photos], *(found for _, found in photos))
    total = sum(len(faces) for faces, _ in photos)
    scores = sorted({score for _, found in photos for _, score in found}, reverse=True)
    assert result.discrete.scores.tolist() == scores
    for point, threshold in enumerate(scores):
        overlaps, good, kept = 0.0, 0, 0
        for faces, found in photos:
            left = [region for region, score in found if score >= threshold]
            kept += len(left)
            table = [[overlap(face, region) for region in left] for face in faces]
            sums, above = best_assignment(table)
            overlaps, good = overlaps + sums, good + above
        if total:
            assert result.continuous.true_positive_rate[point] == pytest.approx(overlaps / total)
            # Two assignments may have the same sum.
            assert abs(result.discrete.true_positive_rate[point] * total - good) <= 1
        found_faces = round(float(np.nan_to_num(result.discrete.true_positive_rate[point])) * total)
        assert result.discrete.false_positives[point] == kept - found_faces


@pytest.mark.parametrize(
    ("regions", "scores", "message"),
    [
        ([FACE[:3]], [0.5], r"detections of name: expected boxes \[D, 4\] or ellipses"),
        ([FACE], [0.5, 0.4], r"got shapes \[1, 5\] and \[2\]"),
        ([FACE], [math.nan], "detections of name: expected finite numbers"),
        ([(math.inf, *FACE[1:])], [0.5], "expected finite numbers"),
    ],
)
def test_bad_detections_are_named(regions, scores, message):
    with pytest.raises(ValueError, match=message):
        evaluate_fddb([photo(FACE)], [(regions, scores)])


def test_boxes_and_ellipses_do_not_mix():
    with pytest.raises(ValueError, match="expected boxes in all photos, or ellipses in all"):
        evaluate([photo(FACE)] * 2, [(FACE, 0.5)], [((1, 2, 3, 4), 0.5)])


def test_another_number_of_photos_is_an_error():
    with pytest.raises(ValueError, match="detections: expected one entry for each of 2 photos"):
        evaluate_fddb([photo(FACE)] * 2, [([], [])])
    with pytest.raises(ValueError, match="sizes: expected one entry for each of 1 photos"):
        evaluate_fddb([photo(FACE)], [([], [])], sizes=[])


def test_the_real_ellipses_are_perfect_and_the_boxes_around_them_are_not(shared):
    photos = read_fddb(
        shared / "fddb", annotations=shared / "fddb/annotation_ellipses_extended.txt"
    )
    assert (len(photos), {p.fold for p in photos}) == (2845, {0, 1, 2, 3, 4, 5})
    own = [(p.ellipses, np.linspace(1, 0.5, len(p.ellipses))) for p in photos]
    result = evaluate_fddb(photos, own)
    assert result.discrete.faces == 5409
    assert result.discrete.at(0) == result.continuous.at(0) == 1
    boxes = [(p.annotated().boxes, scores) for p, (_, scores) in zip(photos, own, strict=True)]
    result = evaluate_fddb(photos, boxes)
    assert result.discrete.at(0) == pytest.approx(1, abs=0.001)
    assert result.continuous.at(0) == pytest.approx(math.pi / 4, abs=0.03)
