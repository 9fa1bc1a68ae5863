"""Overlaps of boxes with boxes."""

import warnings

import numpy as np
import pytest

from s3fd.overlaps import areas, intersections, pairwise_iou

NAN, INF = np.nan, np.inf
BOX = [0, 0, 10, 10]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_overlaps_are_those_of_areas(dtype):
    a = np.array([BOX, [5, 0, 15, 10]], dtype)
    b = np.array([BOX, [10, 0, 20, 10], [2, 2, 4, 4]], dtype)
    np.testing.assert_array_equal(areas(b), [100, 100, 4])
    np.testing.assert_array_equal(intersections(a, b), [[100, 0, 4], [50, 50, 0]])
    np.testing.assert_allclose(pairwise_iou(a, b), [[1, 0, 0.04], [1 / 3, 1 / 3, 0]])


@pytest.mark.parametrize(
    "degenerate",
    [
        [1, 2, NAN, 9],
        [NAN, NAN, NAN, NAN],
        [1, 2, INF, 9],
        [-INF, -INF, INF, INF],
        [INF, 2, INF, 9],
        [9, 2, 1, 9],
        [9, 9, 1, 1],
        [5, 2, 5, 9],
        [0, 0, 0, 0],
    ],
)
def test_a_degenerate_box_has_no_area_and_overlaps_nothing(degenerate):
    boxes = np.array([BOX, degenerate], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(areas(boxes), [100, 0])
        np.testing.assert_array_equal(intersections(boxes, boxes), [[100, 0], [0, 0]])
        np.testing.assert_array_equal(pairwise_iou(boxes, boxes), [[1, 0], [0, 0]])


def test_no_boxes_have_no_overlaps():
    none = np.empty((0, 4), np.float32)
    assert areas(none).shape == (0,)
    assert pairwise_iou(none, np.array([BOX], np.float32)).shape == (0, 1)
