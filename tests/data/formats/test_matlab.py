"""MATLAB's files are read as scipy reads them, and damaged ones end in an error of ours."""

import random

import numpy as np
import pytest
from matlab_files import savemat

from s3fd.data.formats.matlab import read_mat


def objects(*values):
    array = np.empty((1, len(values)), object)
    array[0] = values
    return array


def struct():
    rows = np.zeros((2, 2), dtype=[("name", object), ("box", object)])
    for index, at in enumerate(np.ndindex(2, 2)):
        rows[at] = (f"a{index}", np.full((1, 4), float(index)))
    return rows


VARIABLES = {
    "numbers": np.arange(12, dtype=np.float64).reshape(3, 4),
    "small": np.array([[1, 2], [3, 200]], np.uint8),
    "negative": np.array([[-1, -30000]], np.int16),
    "long": np.array([[2**40, -(2**40)]]),
    "single": np.array([[0.1]], np.float32),
    "complex": np.array([[1 + 2j, 3.5]]),
    "flag": np.array([[True, False]]),
    "text": "a name with ä",
    "none": np.zeros((0, 4)),
    "nothing": "",
}


@pytest.mark.parametrize("compressed", [False, True])
def test_variables_of_every_kind_come_back(tmp_path, compressed):
    scipy_io = pytest.importorskip("scipy.io", reason="writes a file of MATLAB")
    file = tmp_path / "a.mat"
    cells = objects("a.jpg", np.eye(2), objects("b.jpg", np.zeros((0, 0))))
    variables = {**VARIABLES, "cells": cells, "rows": struct()}
    scipy_io.savemat(file, variables, do_compression=compressed)
    found = read_mat(file)
    assert found.keys() == variables.keys()
    for name, value in VARIABLES.items():
        np.testing.assert_array_equal(found[name], value)
    first, second, third = found["cells"][0]
    assert first == "a.jpg"
    np.testing.assert_array_equal(second, np.eye(2))
    assert third[0, 0] == "b.jpg"
    for at in np.ndindex(2, 2):
        assert found["rows"][at]["name"] == struct()[at]["name"]
        np.testing.assert_array_equal(found["rows"][at]["box"], struct()[at]["box"])


def test_only_variables_that_are_asked_for_are_read(tmp_path):
    savemat(tmp_path / "a.mat", {"one": np.eye(2), "two": np.eye(3)})
    assert read_mat(tmp_path / "a.mat", "two", "three").keys() == {"two"}


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_is_an_error_that_names_the_file_or_other_values(tmp_path, compressed):
    scipy_io = pytest.importorskip("scipy.io", reason="writes a file of MATLAB")
    file = tmp_path / "a.mat"
    variables = {"cells": objects("a.jpg", np.eye(2)), "rows": struct()}
    scipy_io.savemat(file, variables, do_compression=compressed)
    whole, rng, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 8))):
            data[rng.randrange(124, len(data))] = rng.choice(
                (0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256))
            )
        file.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data))))])
        try:
            read_mat(file)
        except ValueError as error:
            refused += 1
            assert str(file) in str(error)  # noqa: PT017  # either is right
    assert refused > 300


def test_a_variable_of_gigabytes_is_not_unpacked(tmp_path):
    scipy_io = pytest.importorskip("scipy.io", reason="writes a file of MATLAB")
    import zlib

    file = tmp_path / "a.mat"
    scipy_io.savemat(file, {"a": np.eye(2)}, do_compression=True)
    packer = zlib.compressobj(9)
    zeros = b"".join([packer.compress(bytes(1 << 20)) for _ in range(1025)]) + packer.flush()
    header = file.read_bytes()[:128]
    file.write_bytes(header + (15).to_bytes(4, "little") + len(zeros).to_bytes(4, "little") + zeros)
    with pytest.raises(ValueError, match="more than a gigabyte"):
        read_mat(file)
