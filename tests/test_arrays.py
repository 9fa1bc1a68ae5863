"""The compiled functions guard their memory, whatever they are given."""

import subprocess
import sys

import numpy as np
import pytest

from s3fd import _arrays

BOX, ELLIPSE = np.array([[10.0, 10, 30, 30]]), np.array([[20.0, 10, 0, 50, 60]])
ONE, SIZE = np.array([0, 1]), np.array([[90, 80]])


@pytest.mark.parametrize("splits", [[0, 5], [1, 1], [0, 2, 1], [], [-1, 1], [0, 1, 1]])
def test_splits_that_do_not_fit_are_refused(splits):
    bad = np.array(splits, np.int64)
    best, overlap, counted = np.array([0]), np.array([1.0]), np.array([True])
    calls = [
        lambda: _arrays.best_overlaps(BOX, bad, BOX, ONE, threads=1),
        lambda: _arrays.best_overlaps(BOX, ONE, BOX, bad, threads=1),
        lambda: _arrays.judge_detections(best, overlap, bad, counted, ONE, iou_threshold=0.5),
        lambda: _arrays.judge_detections(best, overlap, ONE, counted, bad, iou_threshold=0.5),
        lambda: _arrays.region_overlaps(ELLIPSE, bad, BOX, ONE, SIZE, threads=1),
        lambda: _arrays.region_overlaps(ELLIPSE, ONE, BOX, bad, SIZE, threads=1),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="splits"):
            call()


def test_arrays_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"rows \[N, 4\]"):
        _arrays.best_overlaps(ELLIPSE, ONE, BOX, ONE, threads=1)
    with pytest.raises(ValueError, match=r"rows \[N, 4\]"):
        _arrays.region_overlaps(ELLIPSE, ONE, BOX[:, :3], ONE, SIZE, threads=1)
    with pytest.raises(ValueError, match=r"sizes \[B, 2\]"):
        _arrays.region_overlaps(ELLIPSE, ONE, BOX, ONE, SIZE[0], threads=1)
    with pytest.raises(ValueError, match="overlap: expected one for each detection"):
        _arrays.judge_detections([0], [], ONE, [True], ONE, iou_threshold=0.5)
    for pixels in (np.zeros((2, 4), np.uint8), np.uint8(3)):
        with pytest.raises(ValueError, match=r"pixels \[\.\.\., 3\]"):
            _arrays.recolour(pixels, np.eye(3, 4))
    with pytest.raises(ValueError, match=r"colours \[3, 4\]"):
        _arrays.recolour(np.zeros((2, 3), np.uint8), np.eye(3))


def test_a_face_of_another_image_is_refused():
    splits = np.array([0, 1, 1])
    with pytest.raises(ValueError, match="faces of the same image"):
        _arrays.judge_detections([1], [0.9], splits, [True], splits, iou_threshold=0.5)


@pytest.mark.parametrize("far", [1e9, -1e9, 1e300])
def test_regions_far_away_overlap_nothing(far):
    boxes, faces = BOX + far, ELLIPSE + np.array([0, 0, 0, far, far])
    for found in (boxes, ELLIPSE):
        overlaps = _arrays.region_overlaps(faces, ONE, found, ONE, SIZE, threads=1)
        np.testing.assert_array_equal(overlaps, [0])


def test_a_huge_region_covers_the_photo():
    huge = ELLIPSE * [1e8, 1e8, 1, 1, 1]
    everything = np.array([[-1e8, -1e8, 1e8, 1e8]])
    overlaps = _arrays.region_overlaps(huge, ONE, everything, ONE, SIZE, threads=1)
    np.testing.assert_array_equal(overlaps, [1])


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_threads_do_not_change_the_answer(threads):
    random = np.random.default_rng(1)
    corners = random.uniform(0, 80, (300, 2))
    boxes = np.hstack([corners, corners + random.uniform(1, 30, (300, 2))])
    splits = np.array([0, 120, 120, 300])
    expected = _arrays.best_overlaps(boxes, splits, boxes[::-1], splits, threads=1)
    answer = _arrays.best_overlaps(boxes, splits, boxes[::-1], splits, threads=threads)
    for one, other in zip(answer, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (b"1 2\n3 4", -1),
        (b"\n1 2\r\n\n 3\t4 \n", -1),
        (b"1 2\n3", 1),
        (b"1 2 3\n", 0),
        (b"1 2\n\n1 2x", 2),
        (b"1 2\n1 0x10", 1),
        (b"1 --2", 0),
        (b"1 2\0", 0),
    ],
)
def test_lines_of_numbers_are_read_or_the_first_wrong_one_is_told(text, wrong):
    table, line = _arrays.read_number_lines(text, start=0, columns=2)
    assert line == wrong
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]] if wrong < 0 else np.empty(0))


def test_numbers_are_read_from_a_byte_on():
    table, line = _arrays.read_number_lines(b"abc 1e-3 -2.5", start=3, columns=2)
    assert line == -1
    np.testing.assert_array_equal(table, [[1e-3, -2.5]])
    empty, line = _arrays.read_number_lines(b"abc", start=99, columns=2)
    assert (empty.shape, line) == ((0, 2), -1)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process, as Linux can")
@pytest.mark.parametrize("threads", [1, 3])
def test_threads_without_memory_end_in_an_error_and_not_with_the_process(threads):
    code = f"""
import resource
import numpy as np
from s3fd import _arrays

faces, boxes = np.array([[20.0, 10, 0, 50, 60]] * 4), np.array([[-1e5, -1e5, 1e5, 1e5]] * 4000)
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 2**29
resource.setrlimit(resource.RLIMIT_AS, (most, most))  # a region takes a megabyte
try:
    _arrays.region_overlaps(
        faces, range(5), boxes, range(0, 4001, 1000), np.zeros((4, 2)), threads={threads}
    )
except RuntimeError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "s3fd._arrays.region_overlaps: std::bad_alloc"
