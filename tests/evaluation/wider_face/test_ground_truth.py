import shutil

import numpy as np
import pytest

from s3fd.evaluation import read_wider_face

FILES = [f"wider_{name}_val.mat" for name in ("face", "easy", "medium", "hard")]


@pytest.mark.parametrize(("folder", "version"), [(".", "older"), ("newer", "newer")])
def test_both_versions_are_read_and_told_apart_by_checksum(shared, folder, version):
    truth = read_wider_face(shared / "wider_face_val" / folder)
    assert truth.version == version
    assert truth.describe().startswith(f"{version} (wider_face_val.mat, SHA-256 ")
    assert sorted(truth.checksums) == sorted(FILES)
    assert (len(truth.events), len(truth.images), len(truth.boxes)) == (61, 3226, 39708)
    counted = {setting: int(counted.sum()) for setting, counted in truth.counted.items()}
    assert counted == {"easy": 7211, "medium": 13319, "hard": 31958}


def test_the_newer_boxes_are_those_of_the_text_form_and_the_older_ones_have_fractions(shared):
    text = (shared / "wider_face_val" / "wider_face_val_bbx_gt.txt").read_text().splitlines()
    rows = [line.split()[:4] for line in text if len(line.split()) > 4]
    listed = np.array(rows, float)
    listed[:, 2:] += listed[:, :2]
    newer = read_wider_face(shared / "wider_face_val" / "newer")
    assert newer.images[0] == "0--Parade/0_Parade_marchingband_1_465"
    assert newer.faces(0) == slice(0, 126)
    np.testing.assert_array_equal(np.sort(newer.boxes, axis=0), np.sort(listed, axis=0))
    older = read_wider_face(shared / "wider_face_val")
    np.testing.assert_allclose(older.boxes[0], [345.4088, 211.2263, 349.2847, 215.5329], atol=1e-4)


@pytest.fixture
def copies(shared, tmp_path):
    for name in FILES:
        shutil.copyfile(shared / "wider_face_val" / name, tmp_path / name)
    return tmp_path


def test_a_missing_file_is_named(copies):
    (copies / "wider_medium_val.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"ground_truth: .*wider_medium_val\.mat does not"):
        read_wider_face(copies)


def test_a_damaged_file_is_named(copies):
    content = (copies / "wider_hard_val.mat").read_bytes()
    (copies / "wider_hard_val.mat").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"wider_hard_val\.mat: can't be read as a MATLAB file"):
        read_wider_face(copies)


def test_files_that_do_not_belong_together_are_an_error(copies):
    from scipy.io import savemat

    cells = np.empty((1, 1), object)
    cells[0, 0] = np.empty((1, 1), object)
    cells[0, 0][0, 0] = np.array([[1]])
    savemat(copies / "wider_easy_val.mat", {"gt_list": cells})
    with pytest.raises(ValueError, match="expected faces of 3226 images, got 1"):
        read_wider_face(copies)


def test_a_setting_that_counts_a_face_that_is_not_there_is_an_error(copies):
    from scipy.io import loadmat, savemat

    content = loadmat(copies / "wider_easy_val.mat")
    content["gt_list"][0, 0][0, 0] = np.array([[127]])
    savemat(copies / "wider_easy_val.mat", {"gt_list": content["gt_list"]})
    with pytest.raises(ValueError, match="names a face that wider_face_val"):
        read_wider_face(copies)
