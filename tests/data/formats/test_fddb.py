import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3fd.data.formats.fddb import ellipse_boxes, read_ellipses
from s3fd.evaluation import average_precision, read_fddb

LISTING = """2002/08/11/big/img_1
1
20.0 10.0 0.0 50.0 60.0  1
2002/08/26/big/img_2
2
30.5 20.25 -1.4 105.25 87.75  1
41.9 27.0 1.47 184.07 115.3  1
2002/08/26/big/img_3
0
"""
NAMES = "2002/08/11/big/img_1\n2002/08/26/big/img_2\n2002/08/26/big/img_3\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "folds").mkdir()
    write(tmp_path, 1, NAMES, LISTING)
    return tmp_path


def write(root, fold, names, listing):
    (root / "folds" / f"FDDB-fold-{fold:02d}.txt").write_text(names)
    (root / "folds" / f"FDDB-fold-{fold:02d}-ellipseList.txt").write_text(listing)


def test_photos_and_their_ellipses_are_read(root):
    first, second, third = read_fddb(root)
    assert first.name == "2002/08/11/big/img_1"
    assert first.fold == 1
    assert first.path == root / "images/2002/08/11/big/img_1.jpg"
    np.testing.assert_array_equal(first.ellipses, [[20, 10, 0, 50, 60]])
    np.testing.assert_array_equal(second.ellipses[1], [41.9, 27.0, 1.47, 184.07, 115.3])
    assert third.ellipses.shape == (0, 5)
    assert third.annotated().boxes.shape == (0, 4)
    np.testing.assert_array_equal(first.annotated().boxes, [[30, 50, 70, 70]])


def test_all_folds_that_are_there_are_read_in_order_or_those_asked_for(root):
    write(root, 10, "b\n", "b\n0\n")
    write(root, 2, "a\n", "a\n0\n")
    assert [photo.fold for photo in read_fddb(root)] == [1, 1, 1, 2, 10]
    assert [photo.name for photo in read_fddb(root, [10, 2])] == ["b", "a"]


def test_line_ends_of_windows_and_empty_lines_do_not_matter(root):
    expected = read_fddb(root)
    write(root, 1, NAMES.replace("\n", "\r\n"), LISTING.replace("\n", "\r\n") + "\r\n\r\n")
    for photo, other in zip(read_fddb(root), expected, strict=True):
        assert photo.name == other.name
        np.testing.assert_array_equal(photo.ellipses, other.ellipses)


@given(
    st.floats(1, 100), st.floats(1, 100), st.floats(-4, 4), st.floats(-50, 50), st.floats(-50, 50)
)
def test_a_box_is_the_smallest_one_around_its_ellipse(major, minor, angle, x, y):
    (box,) = ellipse_boxes(np.array([[major, minor, angle, x, y]]))
    turn = np.linspace(0, 2 * math.pi, 20_001)
    along, across = major * np.cos(turn), minor * np.sin(turn)
    xs = x + along * math.cos(angle) - across * math.sin(angle)
    ys = y + along * math.sin(angle) + across * math.cos(angle)
    np.testing.assert_allclose(box, [xs.min(), ys.min(), xs.max(), ys.max()], atol=1e-3)


def test_a_box_is_not_clipped():
    np.testing.assert_array_equal(
        ellipse_boxes(np.array([[20.0, 10.0, math.pi / 2, 5, 6]])), [[-5, -14, 15, 26]]
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("\n2\n", "\n3\n", 8, "face 3 of 3 in 2002/08/26/big/img_2: expected major radius"),
        ("\n2\n", "\n1\n", 7, "expected the name of a photo, .* is the number of faces above wr"),
        ("\n0\n", "\n4\n", 10, "face 1 of 4 in .*img_3: .* got the end of the file"),
        ("\n0\n", "\n", 9, "expected the number of faces in .*img_3, got the end of the file"),
        ("\n2\n", "\n-2\n", 5, "expected the number of faces in 2002/08/26/big/img_2, got -2"),
        ("\n2\n", "\n2.0\n", 5, "expected the number of faces"),
        ("50.0 60.0  1", "50.0 60.0", 3, "face 1 of 1 in 2002/08/11/big/img_1: expected major"),
        ("50.0", "fifty", 3, "face 1 of 1 .* got 20.0 10.0 0.0 fifty"),
        ("50.0", "nan", 3, "face 1 of 1"),
        ("20.0 10.0", "20.0 0.0", 3, "face 1 of 1 in .*img_1: expected radii above 0"),
        ("big/img_3", "big/img_2", 8, "2002/08/26/big/img_2 comes twice"),
    ],
)
def test_a_malformed_ellipse_list_is_reported_with_file_and_line(root, old, new, line, message):
    assert old in LISTING
    write(root, 1, NAMES, LISTING.replace(old, new, 1))
    with pytest.raises(ValueError, match=rf"ellipseList.txt:{line}: {message}"):
        read_fddb(root)


def test_a_name_that_comes_twice_is_reported(root):
    write(root, 1, NAMES + "2002/08/11/big/img_1\n", LISTING)
    with pytest.raises(ValueError, match=r"FDDB-fold-01.txt:4: 2002/08/11/big/img_1 comes twice"):
        read_fddb(root)


@pytest.mark.parametrize("names", [NAMES + "another\n", NAMES.replace("img_1", "another")])
def test_lists_of_different_photos_are_reported(root, names):
    write(root, 1, names, LISTING)
    with pytest.raises(ValueError, match=r"names other photos than FDDB-fold-01.txt"):
        read_fddb(root)


def test_a_list_that_is_no_text_is_reported(root):
    (root / "folds" / "FDDB-fold-01.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(ValueError, match=r"FDDB-fold-01.txt: not a text file"):
        read_fddb(root)


def test_missing_lists_are_reported(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data: .*FDDB-fold-07.txt does not exist"):
        read_fddb(root, [1, 7])
    with pytest.raises(FileNotFoundError, match="the folder that holds folds/ and images/"):
        read_fddb(tmp_path / "elsewhere")
    (root / "folds" / "FDDB-fold-01-ellipseList.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"FDDB-fold-01-ellipseList.txt does not exist"):
        read_fddb(root)


@pytest.mark.parametrize("folds", [[0], [11], [1, 1]])
def test_impossible_folds_are_refused(root, folds):
    with pytest.raises(ValueError, match="folds: expected different numbers from 1 to 10"):
        read_fddb(root, folds)


def test_the_real_lists_are_read_and_their_own_boxes_are_perfect(shared):
    photos = read_fddb(shared / "fddb")
    assert {photo.fold for photo in photos} == {1, 2, 3, 4, 5}
    there = [photo.annotated() for photo in photos if photo.path.is_file()]
    assert (len(photos), len(there)) == (1449, 1408)
    curve = average_precision(
        [(photo.boxes, np.linspace(1, 0, len(photo.boxes))) for photo in there],
        [photo.boxes for photo in there],
    )
    assert (curve.faces, curve.average_precision) == (2532, 1.0)


def test_the_real_list_of_the_whole_benchmark_is_read(shared):
    ellipses = read_ellipses(shared / "fddb" / "annotation_ellipses_extended.txt")
    assert (len(ellipses), sum(map(len, ellipses.values()))) == (2845, 5409)
