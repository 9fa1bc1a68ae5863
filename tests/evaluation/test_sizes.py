"""Average precision of each range of face sizes."""

import numpy as np
import pytest

from s3fd.evaluation import average_precision, average_precision_by_size


def square(x, side):
    return [x, 0, x + side, side]


def test_each_range_counts_its_own_faces_and_false_positives():
    faces = [square(0, 10), square(100, 20), square(200, 40)]
    boxes = [square(0, 10), square(200, 40), square(500, 25), square(700, 90)]
    scores = [0.5, 0.7, 0.9, 0.95]
    small, middle, large = average_precision_by_size([(boxes, scores)], [faces], [8, 16, 32, 64])
    assert (small.faces, small.true_positives.tolist(), small.false_positives.tolist()) == (
        1,
        [1],
        [0],
    )
    assert (middle.faces, middle.scores.tolist(), middle.true_positives.tolist()) == (1, [0.9], [0])
    assert (large.faces, large.average_precision) == (1, 1.0)


def test_a_detection_counts_in_the_range_of_the_face_that_it_found():
    (small, large) = average_precision_by_size(
        [([square(0, 17)], [0.9])], [[square(0, 15.5)]], [8, 16, 32]
    )
    assert small.average_precision == 1
    assert large.faces == 0
    assert len(large.scores) == 0


def test_one_range_of_all_sizes_is_the_whole_curve():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 200, (6, 30, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (6, 30, 2))], axis=2)
    detections = [(b + rng.normal(0, 2, b.shape), rng.uniform(size=len(b))) for b in boxes]
    faces = [b[:12] for b in boxes]
    ignore = [b[12:15] for b in boxes]
    whole = average_precision(detections, faces, ignore=ignore)
    (curve,) = average_precision_by_size(detections, faces, [0, 1e9], ignore=ignore)
    np.testing.assert_array_equal(curve.true_positives, whole.true_positives)
    np.testing.assert_array_equal(curve.false_positives, whole.false_positives)
    parts = average_precision_by_size(detections, faces, [0, 20, 30, 1e9], ignore=ignore)
    assert sum(part.faces for part in parts) == whole.faces
    assert sum(part.true_positives[-1] for part in parts) == whole.true_positives[-1]
    assert sum(part.false_positives[-1] for part in parts) == whole.false_positives[-1]


@pytest.mark.parametrize("corner", [np.nan, np.inf, -np.inf, -50])
def test_boxes_without_a_size_are_of_size_zero(corner):
    zero, rest = average_precision_by_size(
        [([[0, 0, corner, 9]], [0.9])], [np.empty((0, 4))], [0, 1, 1e9]
    )
    assert zero.false_positives.tolist() == [1]
    assert len(rest.scores) == 0


def test_no_images_give_empty_curves():
    curves = average_precision_by_size([], [], [1, 2, 3])
    assert [curve.faces for curve in curves] == [0, 0]


@pytest.mark.parametrize("edges", [[], [8], [8, 8], [16, 8], [8, float("nan")]])
def test_edges_that_do_not_rise_are_refused(edges):
    with pytest.raises(ValueError, match="edges: expected at least two rising numbers"):
        average_precision_by_size([], [], edges)
