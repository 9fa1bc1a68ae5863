import json

import numpy as np
import pytest

from s3fd.data import read_photos


def write(folder, images):
    (folder / "annotations.json").write_text(json.dumps({"images": images}))


ENTRY = {"image": "a.jpg", "width": 40, "height": 30, "split": "train", "boxes": [[1, 2, 11, 12]]}


def test_the_photos_of_one_split_are_read(tmp_path):
    write(tmp_path, [ENTRY, {**ENTRY, "image": "b.jpg", "split": "val"}])
    (photo,) = read_photos(tmp_path).photos
    assert photo.path == tmp_path / "a.jpg"
    assert (photo.width, photo.height) == (40, 30)
    np.testing.assert_array_equal(photo.boxes, np.array([[1, 2, 11, 12]], np.float32))
    assert photo.ignore.shape == (0, 4)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps({"images": [ENTRY]}), encoding="utf-8-sig")
    assert len(read_photos(tmp_path).photos) == 1


def test_entries_without_splits_are_all_read_and_said_to_have_none(tmp_path):
    entry = {name: value for name, value in ENTRY.items() if name != "split"}
    write(tmp_path, [entry, {**entry, "image": "b.jpg"}])
    photo_set = read_photos(tmp_path, "test")
    assert (len(photo_set.photos), photo_set.split) == (2, None)


def test_a_photo_without_faces_has_an_empty_array_of_four_columns(tmp_path):
    write(tmp_path, [{**ENTRY, "boxes": [], "ignore": []}])
    assert read_photos(tmp_path).photos[0].boxes.shape == (0, 4)


def test_a_box_without_area_becomes_an_ignore_box(tmp_path):
    boxes = [[1, 2, 11, 12], [5, 5, 5, 9], [9, 9, 3, 12]]
    write(tmp_path, [{**ENTRY, "boxes": boxes, "ignore": [[1, 1, 2, 2]]}])
    (photo,) = read_photos(tmp_path).photos
    np.testing.assert_array_equal(photo.boxes, boxes[:1])
    np.testing.assert_array_equal(photo.ignore, [*boxes[1:], [1, 1, 2, 2]])


def test_a_folder_without_annotations_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotations\.json does not exist"):
        read_photos(tmp_path, form="annotations")


@pytest.mark.parametrize("text", ["not json", "[]", '{"photos": []}', "\x00\xff"])
def test_a_file_of_another_form_is_named(tmp_path, text):
    (tmp_path / "annotations.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"annotations\.json: expected a JSON object"):
        read_photos(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": [[1, 2, 3]]},
        {"boxes": [["a", 2, 3, 4]]},
        {"boxes": None},
        {"boxes": [[1, 2, float("nan"), 4]]},
        {"width": "wide"},
        {"width": 0},
        {"ignore": [[1, 2]]},
    ],
)
def test_a_malformed_entry_is_named_by_its_number(tmp_path, change):
    write(tmp_path, [ENTRY, {**ENTRY, **change}])
    with pytest.raises(ValueError, match=r"images\[1\] is malformed"):
        read_photos(tmp_path)


def test_an_entry_without_a_split_is_named(tmp_path):
    for wrong in ({"image": "b.jpg"}, {**ENTRY, "split": None}, 7):
        write(tmp_path, [ENTRY, wrong])
        with pytest.raises(ValueError, match=r"images\[1\] has no text as its split, as others"):
            read_photos(tmp_path)


def test_splits_have_several_names(tmp_path):
    write(tmp_path, [{**ENTRY, "split": "valid"}, {**ENTRY, "image": "b.jpg", "split": "test"}])
    assert [photo.path.name for photo in read_photos(tmp_path, "val").photos] == [ENTRY["image"]]


def test_an_unknown_split_is_answered_with_the_known_ones(tmp_path):
    write(tmp_path, [ENTRY])
    with pytest.raises(ValueError, match="no photo of split 'test'; there are those of 'train'"):
        read_photos(tmp_path, "test")
