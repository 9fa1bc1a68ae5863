import json

import numpy as np
import pytest

from s3fd.data import read_photos

RECTANGLE = {"label": "face", "points": [[30, 40], [10, 20]], "shape_type": "rectangle"}


def write(folder, name="a", shapes=(RECTANGLE,), **changes):
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": f"{name}.jpg",
        "imageData": None, "imageHeight": 50, "imageWidth": 60,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps({**content, **changes}))
    (folder / f"{name}.jpg").touch()


def test_a_rectangle_is_a_box_whatever_corner_was_first(tmp_path):
    write(tmp_path)
    write(tmp_path, "b", shapes=[])
    photo_set = read_photos(tmp_path, "val")
    assert (photo_set.form, photo_set.split) == ("labelme", None)
    first, second = photo_set.photos
    np.testing.assert_array_equal(first.boxes, [[10, 20, 30, 40]])
    assert (first.path, first.width, first.height) == (tmp_path / "a.jpg", 60, 50)
    assert len(second.boxes) == 0


def test_other_shapes_count_as_the_boxes_around_them(tmp_path):
    circle = {"label": "face", "points": [[20, 30], [23, 34]], "shape_type": "circle"}
    polygon = {"label": "face", "points": [[1, 5], [9, 2], [4, 8]], "shape_type": "polygon"}
    write(tmp_path, shapes=[circle, polygon])
    expected = [[15, 25, 25, 35], [1, 2, 9, 8]]
    np.testing.assert_array_equal(read_photos(tmp_path).photos[0].boxes, expected)


def test_other_labels_are_left_out_unless_they_are_named(tmp_path):
    write(tmp_path, shapes=[RECTANGLE, {**RECTANGLE, "label": "head"}])
    assert len(read_photos(tmp_path).photos[0].boxes) == 1
    assert len(read_photos(tmp_path, classes=["face", "head"]).photos[0].boxes) == 2
    write(tmp_path, shapes=[{**RECTANGLE, "label": "head"}])
    with pytest.raises(ValueError, match="no class is called 'face', but there are 'head'"):
        read_photos(tmp_path)


@pytest.mark.parametrize("folder", [".", "train"])
@pytest.mark.parametrize(
    "other", ['{"made": "today"}', '{"photo": "b.jpg", "faces": []}\n{"photo": "c.jpg"}\n', "", "["]
)
def test_json_of_something_else_among_the_labels_is_left_out_and_told(tmp_path, folder, other):
    """Such as what `s3fd detect --json` has found there."""
    write(tmp_path / folder, "b")
    (tmp_path / folder / "a_meta.json").write_text(other)
    with pytest.warns(UserWarning, match=r"1 files that are no labels .* such as a_meta\.json"):
        photo_set = read_photos(tmp_path)
    assert [photo.path.name for photo in photo_set.photos] == ["b.jpg"]


@pytest.mark.parametrize("photo", ["a.jpg", "a.PNG"])
@pytest.mark.parametrize("damaged", ['{"made": "today"}', ""])
def test_damaged_labels_beside_their_photo_are_named(tmp_path, photo, damaged):
    write(tmp_path, "b")
    (tmp_path / photo).touch()
    (tmp_path / "a.json").write_text(damaged)
    with pytest.raises(ValueError, match=r"a\.json: expected a JSON object with a list \"shapes"):
        read_photos(tmp_path)


def test_damaged_labels_of_a_photo_elsewhere_are_named_by_their_keys(tmp_path):
    write(tmp_path, "b")
    (tmp_path / "a.json").write_text('{"version": "5.4.1", "flags": {}, "imagePath": "../a.jpg"}')
    with pytest.raises(ValueError, match=r"a\.json: expected a JSON object with a list \"shapes"):
        read_photos(tmp_path)


def test_shapes_may_come_after_the_bytes_of_the_photo(tmp_path):
    write(tmp_path, "b")
    content = json.loads((tmp_path / "b.json").read_text())
    late = {"imageData": "A" * 100_000, **content, "imagePath": "../c.jpg"}
    late.pop("shapes")
    (tmp_path / "c.json").write_text(json.dumps({**late, "shapes": [RECTANGLE]}))
    assert len(read_photos(tmp_path).photos) == 2


def test_folders_may_be_splits(tmp_path):
    write(tmp_path / "train")
    write(tmp_path / "val", "b")
    assert [photo.path.name for photo in read_photos(tmp_path, "val").photos] == ["b.jpg"]
    with pytest.raises(ValueError, match=r"no photo of split 'test'; .* 'train', 'val'"):
        read_photos(tmp_path, "test")


def test_labels_beside_the_folders_of_splits_are_told(tmp_path):
    for folder, name in (("train", "a"), ("val", "b"), (".", "c"), ("more", "d")):
        write(tmp_path / folder, name)
    (tmp_path / "settings.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"2 files that are in no folder .* such as c\.json"):
        assert len(read_photos(tmp_path).photos) == 1


@pytest.mark.parametrize("name", ["..\\images\\a.jpg", "C:\\me\\old.jpg", "/home/me/old.jpg"])
def test_a_photo_is_found_from_where_its_labels_were_made(tmp_path, name):
    write(tmp_path / "labels", imagePath=name)
    if name.startswith(".."):
        (tmp_path / "images").mkdir()
        (tmp_path / "labels" / "a.jpg").rename(tmp_path / "images" / "a.jpg")
    assert read_photos(tmp_path / "labels").photos[0].path.is_file()


@pytest.mark.parametrize(
    "shape", [{"label": "face"}, {**RECTANGLE, "points": [[1, 2, 3]]}, {**RECTANGLE, "points": []}]
)
def test_a_malformed_shape_is_named_by_its_file(tmp_path, shape):
    write(tmp_path, shapes=[shape])
    with pytest.raises(ValueError, match=r"a\.json: not labels in the form of LabelMe"):
        read_photos(tmp_path)


@pytest.mark.parametrize("points", [[[1, 2, 3], [4, 5, 6]], [1, 2], [], "12", None, [["a", "b"]]])
def test_points_are_pairs(tmp_path, points):
    write(tmp_path, shapes=[{**RECTANGLE, "points": points}])
    with pytest.raises(ValueError, match="expected points, two numbers each"):
        read_photos(tmp_path)


def test_labels_that_went_on_naming_another_photo_are_refused(tmp_path):
    write(tmp_path)
    write(tmp_path, "b", imagePath="a.jpg")
    with pytest.raises(ValueError, match=r"2 entries are of .*a\.jpg; list each photo once"):
        read_photos(tmp_path)
