import numpy as np
import pytest

from s3fd.evaluation.calibration import (
    Calibration,
    calibration_error,
    fit_calibration,
    reliability,
)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def drawn(shift, scale, count=40_000, seed=0):
    """Scores whose log-odds are off by a line, and what they really are."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1.5, count)
    return sigmoid(truth * scale + shift), rng.random(count) < sigmoid(truth)


@pytest.mark.parametrize(("shift", "scale"), [(0, 1), (2, 1), (-1, 1), (0, 3), (1, 0.5)])
def test_the_line_that_was_put_in_is_found(shift, scale):
    scores, found = drawn(shift, scale)
    calibration = fit_calibration(scores, found)
    assert calibration.shift == pytest.approx(shift, abs=0.1)
    assert calibration.scale == pytest.approx(scale, rel=0.05)
    assert calibration_error(calibration(scores), found) < 0.01
    if (shift, scale) != (0, 1):
        assert calibration_error(scores, found) > 0.02


def test_many_detections_that_are_hardly_faces_do_not_bend_the_line():
    scores, found = drawn(1, 2)
    rng = np.random.default_rng(1)
    tail = rng.uniform(0.01, 0.04, 500_000)  # a face in ten thousand
    scores = np.append(scores, tail)
    found = np.append(found, rng.random(len(tail)) < 0.0001)
    calibration = fit_calibration(scores, found)
    calibrated = calibration(scores)
    shown = calibrated >= 0.1
    assert calibration_error(calibrated[shown], found[shown]) < 0.02


@pytest.mark.parametrize(("shift", "scale"), [(-3, 1), (0, 0.5), (2, 4)])
def test_what_is_calibrated_does_not_hang_on_how_sure_the_scores_were(shift, scale):
    scores, found = drawn(0, 1)
    others = Calibration(shift, scale)(scores)
    np.testing.assert_allclose(
        fit_calibration(others, found)(others), fit_calibration(scores, found)(scores), atol=1e-6
    )


def test_all_of_the_detections_that_share_the_last_score_count():
    scores = [0.9] * 10 + [0.3] * 100
    found = [1] * 5 + [0] * 5 + [1] * 20 + [0] * 80
    assert fit_calibration(scores, found)([0.9, 0.3]) == pytest.approx([0.5, 0.2], abs=0.02)


def test_no_order_changes():
    scores = np.linspace(0.001, 0.999, 500)
    assert (np.diff(Calibration(shift=1.5, scale=2.0)(scores)) > 0).all()


def test_outcomes_that_a_line_separates_have_a_finite_calibration():
    calibration = fit_calibration([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])
    assert np.isfinite([calibration.shift, calibration.scale]).all()
    assert calibration([0.9])[0] > 0.6


def test_scores_of_exactly_0_and_1_are_no_trouble():
    calibration = fit_calibration([0.0, 1.0, 1.0, 0.0, 0.6], [0, 1, 0, 0, 1])
    assert np.isfinite(calibration([0.0, 1.0])).all()


@pytest.mark.parametrize(
    ("scores", "found", "message"),
    [
        ([0.5, 0.6], [1], "one outcome for each"),
        ([0.5, 0.6], [1, 1], "2 of 2"),
        ([], [], "0 of 0"),
        ([0.9, 0.8, 0.1, 0.2], [0, 0, 1, 1], "lower scores than the rest"),
        ([0.9, 0.8, 0.7, 0.1], [0, 0, 0, 1], "lower scores than the rest"),
    ],
)
def test_what_can_not_be_calibrated_is_said(scores, found, message):
    with pytest.raises(ValueError, match=message):
        fit_calibration(scores, found)


def test_the_bins_hold_every_detection_once():
    scores, found = drawn(1, 1, count=1000)
    steps = reliability(scores, found)
    assert sum(step.count for step in steps) == 1000
    assert [step.score for step in steps] == sorted(step.score for step in steps)


def test_nothing_found_has_no_error():
    assert calibration_error([], []) == 0
