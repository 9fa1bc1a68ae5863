import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3fd.evaluation import PrecisionRecall, average_precision

A, B, C = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]
NOWHERE = [500, 500, 510, 510]


def curve_of(found, faces, ignore=None):
    detections = [([box for box, _ in image], [score for _, score in image]) for image in found]
    return average_precision(detections, faces, ignore=ignore)


def test_perfect_detections_have_an_average_precision_of_one():
    curve = curve_of([[(A, 0.9), (B, 0.2)], [(C, 0.7)]], [[A, B], [C]])
    assert curve.average_precision == 1.0
    np.testing.assert_array_equal(curve.precision, [1, 1, 1])
    np.testing.assert_allclose(curve.recall, [1 / 3, 2 / 3, 1])
    np.testing.assert_array_equal(curve.scores, [0.9, 0.7, 0.2])


def test_duplicates_are_false_positives():
    curve = curve_of([[(A, 0.9), (A, 0.8), (B, 0.7)]], [[A, B]])
    np.testing.assert_array_equal(curve.false_positives, [0, 1, 1])
    assert curve.average_precision == pytest.approx((1 + 2 / 3) / 2)


def test_misses_lose_their_share():
    assert curve_of([[(A, 0.9)]], [[A, B, C]]).average_precision == pytest.approx(1 / 3)


def test_precision_is_the_largest_one_at_any_larger_recall():
    # Precisions 0, 1/2, 2/3: the envelope is 2/3 throughout.
    curve = curve_of([[(NOWHERE, 0.9), (A, 0.8), (B, 0.7)]], [[A, B]])
    assert curve.average_precision == pytest.approx(2 / 3)


def test_ignored_detections_are_not_on_the_curve():
    curve = curve_of([[(A, 0.9), (NOWHERE, 0.95)]], [[A]], ignore=[[[400, 400, 600, 600]]])
    np.testing.assert_array_equal(curve.scores, [0.9])
    assert curve.average_precision == 1.0


def test_false_positives_in_an_image_without_faces_count():
    assert curve_of([[(A, 0.8)], [(A, 0.9)]], [[A], []]).average_precision == 0.5


def test_equal_scores_are_one_step_of_the_curve():
    for order in (slice(None), slice(None, None, -1)):
        found = [[(A, 0.8)], [(NOWHERE, 0.8)], [(C, 0.5)]][order]
        curve = curve_of(found, [[A], [], [C]][order])
        np.testing.assert_array_equal(curve.scores, [0.8, 0.5])
        np.testing.assert_array_equal(curve.precision, [1 / 2, 2 / 3])
        assert curve.average_precision == pytest.approx(2 / 3)


def test_infinite_scores_are_scores_like_others():
    found = [[(A, math.inf), (NOWHERE, math.inf)], [(B, -math.inf), (NOWHERE, -math.inf)]]
    curve = curve_of(found, [[A], [B]])
    np.testing.assert_array_equal(curve.scores, [math.inf, -math.inf])
    np.testing.assert_array_equal(curve.true_positives, [1, 2])
    np.testing.assert_array_equal(curve.false_positives, [1, 2])


def test_no_detections_have_an_average_precision_of_zero():
    curve = curve_of([[], []], [[A], []])
    assert curve.average_precision == 0.0
    assert curve.scores.shape == curve.precision.shape == curve.recall.shape == (0,)


@pytest.mark.parametrize("found", [[], [[]], [[(A, 0.9)]]])
def test_without_a_single_face_recall_and_average_precision_are_nan(found):
    curve = curve_of(found, [[] for _ in found])
    assert curve.faces == 0
    assert math.isnan(curve.average_precision)
    assert np.isnan(curve.recall).all()
    assert math.isnan(curve.at(0.5).recall)


def test_a_threshold_keeps_what_scores_as_much_or_more():
    curve = curve_of([[(A, 0.9), (NOWHERE, 0.5), (B, 0.4)]], [[A, B]])
    assert curve.at(0.5) == (1, 1, 0.5, 0.5)
    assert curve.at(0.51) == (1, 0, 0.5, 1.0)
    assert curve.at(0.0) == (2, 1, 1.0, pytest.approx(2 / 3))
    nothing = curve.at(0.95)
    assert nothing[:3] == (0, 0, 0.0)
    assert math.isnan(nothing.precision)


def literal_average_precision(outcomes, faces):
    """By its definition: the mean over the faces of the best precision that keeps as many.

    ``outcomes`` are (score, found) of all detections.
    """
    total = 0.0
    for needed in range(1, faces + 1):
        best = 0.0
        for threshold in {score for score, _ in outcomes}:
            kept = [found for score, found in outcomes if score >= threshold]
            if sum(kept) >= needed:
                best = max(best, sum(kept) / len(kept))
        total += best
    return total / faces


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12), st.integers(0, 4))
def test_average_precision_equals_its_definition(outcomes, missed):
    faces = sum(found for _, found in outcomes) + missed
    curve = PrecisionRecall.from_outcomes([s for s, _ in outcomes], [f for _, f in outcomes], faces)
    if faces == 0:
        assert math.isnan(curve.average_precision)
    else:
        assert curve.average_precision == pytest.approx(literal_average_precision(outcomes, faces))


@given(st.data())
def test_the_order_of_images_does_not_matter(data):
    score = st.integers(0, 3)
    detection = st.tuples(st.sampled_from([A, B, C, NOWHERE]), score)
    image = st.tuples(st.lists(detection, max_size=5), st.lists(st.sampled_from([A, B, C])))
    images = data.draw(st.lists(image, max_size=5))
    shuffled = data.draw(st.permutations(images))
    one, other = (curve_of([f for f, _ in s], [g for _, g in s]) for s in (images, shuffled))
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.true_positives, other.true_positives)
    np.testing.assert_array_equal(one.false_positives, other.false_positives)


@pytest.mark.parametrize(
    ("scores", "found", "faces", "message"),
    [
        ([0.5], [True, False], 2, "two arrays"),
        ([0.5, math.nan], [True, False], 2, "score 1 is NaN"),
        ([0.5, 0.4], [True, True], 1, "at most 1, one a face, got 2"),
    ],
)
def test_impossible_outcomes_are_refused(scores, found, faces, message):
    with pytest.raises(ValueError, match=message):
        PrecisionRecall.from_outcomes(scores, found, faces)
