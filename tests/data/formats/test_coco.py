import json

import numpy as np
import pytest
from PIL import Image

from s3fd.data import read_photos

IMAGES = [
    {"id": 7, "file_name": "a.jpg", "width": 60, "height": 40},
    {"id": 3, "file_name": "below/b.jpg", "width": 50, "height": 30},
]
ANNOTATIONS = [
    {"image_id": 7, "bbox": [1, 2, 10, 20], "category_id": 1, "iscrowd": 0},
    {"image_id": 7, "bbox": [30, 10, 25, 25], "category_id": 1, "iscrowd": 1},
    {"image_id": 7, "bbox": [5, 5, 0, 9], "category_id": 1},
    {"image_id": 7, "bbox": [0, 0, 60, 40], "category_id": 2},
]
CONTENT = {
    "images": IMAGES,
    "annotations": ANNOTATIONS,
    "categories": [{"id": 2, "name": "person"}, {"id": 1, "name": "Face"}],
}
LAYOUTS = {
    "annotations.json": "images",
    "annotations/instances_train2017.json": "train2017",
    "annotations/train.json": "images/train",
    "train/_annotations.coco.json": "train",
    "faces_train.json": ".",
}


@pytest.fixture
def write(tmp_path):
    def write(labels="annotations.json", photos="images", **changes):
        file = tmp_path / labels
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**CONTENT, **changes}))
        for entry in IMAGES:
            path = tmp_path / photos / entry["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (entry["width"], entry["height"])).save(path)
        return tmp_path

    return write


@pytest.mark.parametrize("labels", LAYOUTS)
def test_photos_are_found_in_the_layouts_that_people_use(write, labels):
    photo_set = read_photos(write(labels, LAYOUTS[labels]))
    assert photo_set.form == "coco"
    assert [photo.path.is_file() for photo in photo_set.photos] == [True, True]


def test_crowds_and_boxes_without_area_are_ignored_and_other_categories_left_out(write):
    first, second = read_photos(write()).photos
    assert (first.width, first.height) == (60, 40)
    np.testing.assert_array_equal(first.boxes, [[1, 2, 11, 22]])
    np.testing.assert_array_equal(first.ignore, [[30, 10, 55, 35], [5, 5, 5, 14]])
    assert second.boxes.shape == second.ignore.shape == (0, 4)


def test_a_file_may_hold_several_splits(write):
    root = write(images=[{**IMAGES[0], "split": "val"}, {**IMAGES[1], "split": "train"}])
    assert [photo.path.name for photo in read_photos(root, "val").photos] == ["a.jpg"]
    with pytest.raises(ValueError, match="it has no photo of split 'test'"):
        read_photos(root, "test")


def test_the_file_itself_can_be_named(write):
    assert len(read_photos(write() / "annotations.json").photos) == 2


def test_a_single_category_needs_no_name(write):
    categories = [{"id": 1, "name": "head"}]
    root = write(categories=categories, annotations=ANNOTATIONS[:1])
    assert len(read_photos(root).photos[0].boxes) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"bbox": [1, 2, 3, 4]}]}, r"annotations\[0\] is malformed: KeyError"),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": [1, 2, 3]}]}, r"images\[0\] is malformed"),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": "box"}]}, r"images\[0\] is malformed"),
        ({"annotations": {}}, "expected a JSON object with a list \"images\" and a list"),
        ({"images": [{"id": 7}]}, r"images\[0\] is malformed: KeyError\('file_name'\)"),
        ({"images": [7]}, r"images\[0\] is malformed"),
        ({"categories": [{"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}]}, "cat, dog"),
        ({"categories": [1]}, "categories is malformed"),
    ],
)  # fmt: skip
def test_malformed_content_is_named(write, change, message):
    with pytest.raises(ValueError, match=message):
        read_photos(write(**change), form="coco")


def test_photos_that_are_nowhere_are_said_to_be(write, tmp_path):
    write()
    for path in (tmp_path / "images").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no a\.jpg of .*annotations\.json in"):
        read_photos(tmp_path)
