import importlib.util

import numpy as np
import pytest
from matlab_files import savemat

from s3fd.data import read_photos


def by_kind(wider, photos):
    found = {photo.path: photo for photo in photos}
    return {kind: found[path] for kind, path in wider.paths.items()}


@pytest.fixture
def tree(tmp_path):
    """An empty tree, and what writes the text of its labels."""
    (tmp_path / "WIDER_train" / "images").mkdir(parents=True)
    (tmp_path / "wider_face_split").mkdir()

    def write(text):
        (tmp_path / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_bytes(text.encode())
        return tmp_path

    return write


def test_every_photo_of_the_text_is_read_with_its_faces_as_corners(wider):
    photo_set = read_photos(wider.root)
    assert photo_set.form == "wider-face"
    photos = by_kind(wider, photo_set.photos)
    np.testing.assert_array_equal(photos["spaces"].boxes, [[10, 10, 40, 40], [60, 40, 84, 70]])
    assert photos["plain"].path.is_file()
    assert photos["plain"].width is None


def test_a_photo_without_faces_has_no_box_at_all(wider):
    nobody = by_kind(wider, read_photos(wider.root).photos)["zero"]
    assert nobody.boxes.shape == nobody.ignore.shape == (0, 4)


def test_invalid_and_degenerate_faces_are_ignored_and_counted(wider):
    photo_set = read_photos(wider.root)
    photos = by_kind(wider, photo_set.photos)
    np.testing.assert_array_equal(photos["invalid"].boxes, [[10, 10, 40, 40]])
    np.testing.assert_array_equal(photos["invalid"].ignore, [[70, 40, 90, 60]])
    assert len(photos["degenerate"].boxes) == 1
    assert len(photos["degenerate"].ignore) == 2
    summary = photo_set.summary()
    assert "13 photos, 1 without a face" in summary
    assert summary.endswith("14 faces; ignored: 1 invalid, 2 without area")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n", " \n"])
@pytest.mark.parametrize("zeros", [True, False])
def test_line_ends_and_a_missing_line_of_zeros_change_nothing(wider, tree, newline, zeros):
    root = tree("\ufeff" + wider.text(newline=newline, zeros=zeros))
    expected = read_photos(wider.root).photos
    for photo, same in zip(read_photos(root).photos, expected, strict=False):
        np.testing.assert_array_equal(photo.boxes, same.boxes)
        np.testing.assert_array_equal(photo.ignore, same.ignore)


@pytest.mark.parametrize("name", ["0_Parade.jpg", "12.jpg", "1 2.jpg", "-1/0.5 a.png", "größe.jpg"])
def test_a_photo_may_have_any_name(tree, name):
    first, second = read_photos(tree(f"{name}\n1\n1 2 10 20\n0--x/{name}\n0\n")).photos
    assert first.path.name == second.path.name == name.rsplit("/", 1)[-1]
    assert (len(first.boxes), len(second.boxes)) == (1, 0)


def test_labels_without_attributes_are_read(tree):
    (photo,) = read_photos(tree("a.jpg\n1\n1 2 10 20\n")).photos
    np.testing.assert_array_equal(photo.boxes, [[1, 2, 11, 22]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg\n2\n1 2 10 20\n", r"txt:4: face 2 of 2 in a\.jpg: .* got the end of the file"),
        (
            "a.jpg\n2\n1 2 10 20\nb.jpg\n0\n",
            r"txt:4: face 2 of 2 in a\.jpg: .*got b\.jpg",
        ),
        ("a.jpg\n1\n1 2 10 20\n1 2 10 20\n", r"txt:4: expected the name of a photo, got '1 2 10"),
        ("a.jpg\nmany\n", r"txt:2: expected the number of faces in a\.jpg, got many"),
        ("a.jpg\n", r"txt:2: expected the number of faces in a\.jpg, got the end"),
        ("a.jpg\n1\n1 2 nan 4\n", r"txt:3: face 1 of 1 in a\.jpg: expected x y w h"),
        ("a.jpg\n1\n1 2 3\n", r"txt:3: face 1 of 1 in a\.jpg: expected x y w h"),
        ("a.jpg\n0\na.jpg\n0\n", r"txt:3: a\.jpg comes twice"),
        ("", r"there is no photo of split 'train'"),
    ],
)
def test_malformed_labels_are_named_with_their_line(tree, text, message):
    with pytest.raises(ValueError, match=message):
        read_photos(tree(text))


def test_a_split_that_is_not_there_is_named(wider):
    with pytest.raises(ValueError, match="no photo of split 'val'; there are those of 'train'"):
        read_photos(wider.root, "val")


@pytest.mark.parametrize("asked", ["train", "training"])
@pytest.mark.parametrize("named", ["train", "training"])
def test_splits_have_several_names(tree, tmp_path, asked, named):
    labels = tree("a.jpg\n1\n1 2 10 20\n") / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    labels.rename(labels.with_name(f"wider_face_{named}_bbx_gt.txt"))
    (tmp_path / "WIDER_train").rename(tmp_path / f"WIDER_{named}")
    photo_set = read_photos(tmp_path, asked)
    assert (photo_set.split, len(photo_set.photos)) == (asked, 1)
    with pytest.raises(ValueError, match=f"no photo of split 'valid'; there are .* '{named}'"):
        read_photos(tmp_path, "valid")


def test_a_folder_without_labels_is_named(tree, tmp_path):
    tree("a.jpg\n0\n")
    (tmp_path / "wider_face_split" / "wider_face_train_bbx_gt.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither wider_face_val_bbx_gt\.txt nor"):
        read_photos(tmp_path, "val")


def test_a_file_that_is_named_is_read_whole_whatever_split_is_asked_for(tree, tmp_path):
    file = tree("a.jpg\n1\n1 2 10 20\n") / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    assert read_photos(file, "train").split == "train"
    assert (len(read_photos(file, "val").photos), read_photos(file, "val").split) == (1, None)


def test_a_tree_without_its_photos_says_where_they_belong(tree, tmp_path):
    root = tree("a.jpg\n0\n")
    (tmp_path / "WIDER_train" / "images").rmdir()
    with pytest.raises(FileNotFoundError, match=r"WIDER_train/images.*the photos of .* belong"):
        read_photos(root)


def cells(values):
    array = np.empty((len(values), 1), dtype=object)
    for index, value in enumerate(values):
        array[index, 0] = value
    return array


def write_mat_5(file, variables):
    savemat(file, variables)


def write_mat_7_3(file, variables):
    """As MATLAB writes its HDF5 files: columns first, cells by reference."""
    import h5py

    with h5py.File(file, "w", userblock_size=512) as content:

        def add(value):
            if isinstance(value, str):
                node = content.create_dataset(
                    f"#refs#/{len(content['#refs#'])}",
                    data=np.array([[ord(c)] for c in value], np.uint16),
                )
                node.attrs["MATLAB_class"] = np.bytes_("char")
            elif value.dtype == object:
                references = np.empty(value.T.shape, h5py.ref_dtype)
                for index in np.ndindex(value.shape):
                    references[index[::-1]] = add(value[index]).ref
                node = content.create_dataset(f"#refs#/{len(content['#refs#'])}", data=references)
                node.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                node = content.create_dataset(f"#refs#/{len(content['#refs#'])}", data=value.T)
                node.attrs["MATLAB_class"] = np.bytes_("double")
            return node

        content.create_group("#refs#")
        for name, value in variables.items():
            content[name] = add(value)
    with file.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file")


@pytest.mark.parametrize("write", [write_mat_5, write_mat_7_3])
def test_the_mat_file_gives_what_the_text_gives(wider, tmp_path, write):
    if write is write_mat_7_3 and importlib.util.find_spec("h5py") is None:
        pytest.skip("h5py is not installed")
    events = {}
    for kind, path in wider.paths.items():
        rows = np.array([row.split() for row in wider.rows[kind]] or [["0"] * 10], dtype=np.float64)
        events.setdefault(path.parent.name, []).append((path.stem, rows))
    variables = {
        "event_list": cells(list(events)),
        "file_list": cells([cells([name for name, _ in e]) for e in events.values()]),
        "face_bbx_list": cells([cells([r[:, :4] for _, r in e]) for e in events.values()]),
        "invalid_label_list": cells([cells([r[:, 7:8] for _, r in e]) for e in events.values()]),
    }
    (tmp_path / "wider_face_split").mkdir()
    (tmp_path / "WIDER_train").symlink_to(wider.root / "WIDER_train")
    write(tmp_path / "wider_face_split" / "wider_face_train.mat", variables)
    photos = read_photos(tmp_path).photos
    for photo, expected in zip(photos, read_photos(wider.root).photos, strict=True):
        assert photo.path.samefile(expected.path) if expected.path.exists() else True
        np.testing.assert_array_equal(photo.boxes, expected.boxes)
        np.testing.assert_array_equal(photo.ignore, expected.ignore)


def test_a_damaged_mat_file_is_named(wider, tmp_path):
    file = tmp_path / "wider_face_train.mat"
    (tmp_path / "WIDER_train").symlink_to(wider.root / "WIDER_train")
    file.write_bytes(b"no labels" * 100)
    with pytest.raises(ValueError, match=r"wider_face_train\.mat: can't be read as a MATLAB"):
        read_photos(file)


@pytest.mark.parametrize("folder", ["wider_face_val", "wider_face_val/newer"])
def test_the_two_forms_of_the_real_validation_set_agree(shared, tmp_path, folder):
    (tmp_path / "WIDER_val" / "images").mkdir(parents=True)
    for name in ("wider_face_val_bbx_gt.txt", "wider_face_val.mat"):
        source = shared / ("wider_face_val" if name.endswith("txt") else folder) / name
        (tmp_path / name).symlink_to(source)
    text = read_photos(tmp_path / "wider_face_val_bbx_gt.txt", "val").photos
    mat = {p.path: p for p in read_photos(tmp_path / "wider_face_val.mat", "val").photos}
    assert len(text) == len(mat) == 3226
    assert sum(len(p.boxes) + len(p.ignore) for p in text) == 39708
    differing = sum(len(p.boxes) != len(mat[p.path].boxes) for p in text)
    assert differing <= 10  # some boxes of the older file have no area
