import shutil
import sys

import numpy as np
import pytest
from matlab_files import open_hdf5, savemat

from s3fd.evaluation.wider_face.published import read_published_curve, read_published_curves

PRECISION, RECALL = [1.0, 0.75, 0.8, 0.5], [0.2, 0.4, 0.4, 0.9]

# What the shared data's own notes state, to four decimals: easy, medium, hard.
STATED = {
    "SFD": (0.9378, 0.9256, 0.8590),
    "s3fd.pytorch": (0.9358, 0.9146, 0.7327),
    "PyramidBox": (0.9612, 0.9500, 0.8891),
    "SSH": (0.9312, 0.9211, 0.8458),
    "HR": (0.9257, 0.9105, 0.8060),
    "DSFD": (0.9663, 0.9573, 0.9050),
}


def write_matlab5(file, points=None, legend="The Detector"):
    points = np.stack([PRECISION, RECALL], axis=1) if points is None else points
    savemat(file, {"pr_cruve": points, "legend_name": legend})


def write_matlab73(file, name="pr_cruve"):
    """As MATLAB writes it: a block of text before the HDF5, arrays transposed, text as numbers."""
    with open_hdf5(file) as opened:
        opened[name] = np.array([PRECISION, RECALL])
        opened[name].attrs["MATLAB_class"] = np.bytes_("double")
        opened["legend_name"] = np.array([[ord(letter)] for letter in "Seven"], np.uint16)
        opened["legend_name"].attrs["MATLAB_class"] = np.bytes_("char")
    with file.open("r+b") as opened:
        opened.write(b"MATLAB 7.3 MAT-file, Platform: none".ljust(124))


@pytest.mark.parametrize(
    ("write", "legend"), [(write_matlab5, "The Detector"), (write_matlab73, "Seven")]
)
def test_a_file_of_either_kind_gives_its_curve(tmp_path, write, legend):
    file = tmp_path / "wider_pr_info_My_Own_hard_val.mat"
    write(file)
    curve = read_published_curve(file)
    assert (curve.detector, curve.setting, curve.legend) == ("My_Own", "hard", legend)
    np.testing.assert_array_equal(curve.precision, PRECISION)
    np.testing.assert_array_equal(curve.recall, RECALL)


def test_precision_at_a_recall_is_the_largest_at_this_or_a_larger_one(tmp_path):
    file = tmp_path / "wider_pr_info_a_easy_val.mat"
    write_matlab5(file)
    expected = 0.2 * 1.0 + 0.2 * 0.8 + 0.5 * 0.5  # 0.8 stands for 0.75, and nothing beyond 0.9
    assert read_published_curve(file).average_precision == pytest.approx(expected)


def test_precision_that_is_undefined_counts_as_none(tmp_path):
    file = tmp_path / "wider_pr_info_a_easy_val.mat"
    write_matlab5(file, np.array([[np.nan, 0.0], [0.5, 0.5]]))
    assert read_published_curve(file).average_precision == 0.25


def test_a_folder_gives_all_curves_or_those_of_some_detectors(tmp_path):
    for detector in ("b", "a", "c"):
        for setting in ("hard", "easy"):
            (tmp_path / detector).mkdir(exist_ok=True)
            write_matlab5(tmp_path / detector / f"wider_pr_info_{detector}_{setting}_val.mat")
    found = read_published_curves(tmp_path)
    names = [(curve.detector, curve.setting) for curve in found]
    assert names == [(d, s) for d in "abc" for s in ("easy", "hard")]
    some = read_published_curves(tmp_path, ["c", "a"])
    assert [curve.detector for curve in some] == ["c", "c", "a", "a"]
    with pytest.raises(FileNotFoundError, match=r"no curve of 'd' .* but of a, b, c"):
        read_published_curves(tmp_path, ["d"])


def test_curves_of_the_test_set_are_left_alone(tmp_path):
    for name in ("Val/a_easy_val", "Test/a_easy_test", "Test/b_easy", ".copies/a_easy_val"):
        folder, rest = name.split("/")
        (tmp_path / folder).mkdir(exist_ok=True)
        write_matlab5(tmp_path / folder / f"wider_pr_info_{rest}.mat")
    assert [curve.detector for curve in read_published_curves(tmp_path)] == ["a"]
    with pytest.raises(FileNotFoundError, match=r"there is no wider_pr_info_.*_val\.mat"):
        read_published_curves(tmp_path / "Test")
    with pytest.raises(ValueError, match=r"expected a name like .*_val\.mat"):
        read_published_curve(tmp_path / "Test" / "wider_pr_info_a_easy_test.mat")


def test_two_curves_of_one_legend_and_setting_are_refused(tmp_path):
    """As the benchmark's site has them, one detector may be there as it learned from other data."""
    for place, legend in (("int", "ACF-WIDER"), ("ext", "ACF"), ("more", "ACF")):
        (tmp_path / place).mkdir()
        write_matlab5(tmp_path / place / "wider_pr_info_acf_hard_val.mat", legend=legend)
        if place == "ext":
            curves = read_published_curves(tmp_path)
            assert sorted(curve.legend for curve in curves) == ["ACF", "ACF-WIDER"]
    with pytest.raises(ValueError, match=r"ext\S+ and \S+more\S+ are both the hard curve of 'ACF'"):
        read_published_curves(tmp_path)


def test_detectors_of_one_legend_are_called_by_their_files(tmp_path):
    for detector, legend in (("a", "ACF"), ("b", "ACF"), ("c", "C")):
        write_matlab5(tmp_path / f"wider_pr_info_{detector}_hard_val.mat", legend=legend)
    assert [curve.legend for curve in read_published_curves(tmp_path)] == ["a", "b", "C"]


def test_what_is_no_curve_is_named(tmp_path):
    good = tmp_path / "wider_pr_info_a_easy_val.mat"
    with pytest.raises(FileNotFoundError, match=r"easy_val\.mat does not exist"):
        read_published_curve(good)
    with pytest.raises(FileNotFoundError, match="in or below"):
        read_published_curves(tmp_path)
    with pytest.raises(ValueError, match=r"expected a name like wider_pr_info_SFD_hard_val\.mat"):
        read_published_curve(tmp_path / "curve.mat")
    write_matlab5(good)
    whole = good.read_bytes()
    for content in (b"", b"no such file", whole[:150], whole[:-20]):
        good.write_bytes(content)
        with pytest.raises(ValueError, match=r"easy_val\.mat: can't be read as a MATLAB file"):
            read_published_curve(good)
    write_matlab73(good, name="other")
    with pytest.raises(ValueError, match="expected a variable pr_cruve, got legend_name, other"):
        read_published_curve(good)
    write_matlab5(good, np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"expected numbers \[K, 2\] .* got float64 \[4, 3\]"):
        read_published_curve(good)
    write_matlab5(good, np.array([[1, 0.5], [1, 0.4]]))
    with pytest.raises(ValueError, match="a recall that never falls"):
        read_published_curve(good)


def test_a_missing_reader_is_named_with_its_remedy(tmp_path, monkeypatch):
    file = tmp_path / "wider_pr_info_a_easy_val.mat"
    write_matlab73(file)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"is needed to read .*pip install 's3fd\[eval\]'"):
        read_published_curve(file)


def test_the_published_curves_have_the_average_precision_that_is_known_of_them(shared):
    curves = read_published_curves(shared / "wider_face_val" / "published")
    assert len(curves) == 30
    for detector, stated in STATED.items():
        found = [curve for curve in curves if curve.detector == detector]
        assert [curve.setting for curve in found] == ["easy", "medium", "hard"]
        for curve, value in zip(found, stated, strict=True):
            assert curve.average_precision == pytest.approx(value, abs=5.1e-5), curve.setting


def test_a_copy_of_one_file_is_found_by_its_name(shared, tmp_path):
    name = "wider_pr_info_SFD_hard_val.mat"
    shutil.copy(shared / "wider_face_val" / "published" / "SFD" / name, tmp_path / name)
    (curve,) = read_published_curves(tmp_path)
    assert curve.legend == "SFD"
