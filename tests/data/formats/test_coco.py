import json
from itertools import product

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


@pytest.mark.parametrize("box", [{}, {"bbox": None}, {"bbox": []}])
def test_polygons_without_a_box_count_as_the_box_around_them(write, box):
    face = {"image_id": 7, "category_id": 1, **box}
    polygons = [[10, 20, 30, 20, 20, 35], [5, 25, 15, 25, 10, 30]]
    first, _ = read_photos(write(annotations=[{**face, "segmentation": polygons}])).photos
    np.testing.assert_array_equal(first.boxes, [[5, 20, 30, 35]])
    for wrong in ([[1, 2, 3]], ["abcd"], [[]]):
        with pytest.raises(ValueError, match=r"annotations\[0\] is malformed: expected polygons"):
            read_photos(write(annotations=[{**face, "segmentation": wrong}]))


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [5, 20, 0, 15], [5, 20, 25, -1]])
def test_a_box_without_area_beside_a_polygon_is_the_one_around_it(write, box):
    face = {"image_id": 7, "category_id": 1, "bbox": box}
    first, _ = read_photos(write(annotations=[{**face, "segmentation": [[5, 20, 30, 35]]}])).photos
    np.testing.assert_array_equal(first.boxes, [[5, 20, 30, 35]])
    for nothing in ([], [[]], None, {"counts": [], "size": [40, 60]}):
        labels = [ANNOTATIONS[0], {**face, "segmentation": nothing}]
        first, _ = read_photos(write(annotations=labels)).photos
        assert (len(first.boxes), len(first.ignore)) == (1, 1)


def test_json_of_something_else_beside_the_labels_is_passed_over(write):
    root = write("labels.json")
    (root / "notes.json").write_text(json.dumps({"categories": CONTENT["categories"]}))
    (root / "package.json").write_text('{"name": "labels"}')
    assert len(read_photos(root).photos) == 2


def test_a_file_may_hold_several_splits(write):
    root = write(images=[{**IMAGES[0], "split": "val"}, {**IMAGES[1], "split": "train"}])
    assert [photo.path.name for photo in read_photos(root, "val").photos] == ["a.jpg"]
    with pytest.raises(ValueError, match=r"no photo of split 'test'; .* 'train', 'val'"):
        read_photos(root, "test")


def test_the_file_itself_can_be_named(write):
    assert len(read_photos(write() / "annotations.json").photos) == 2


def test_a_category_of_another_name_is_a_face_if_the_user_says_so(write):
    categories = [{"id": 1, "name": "Head "}, {"id": 2, "name": "full-body"}]
    root = write(categories=categories)
    assert len(read_photos(root, classes=["head"]).photos[0].boxes) == 1
    assert len(read_photos(root, classes=["head", "Full_Body"]).photos[0].boxes) == 2
    with pytest.raises(ValueError, match=r"no class is called 'face', .* name .* with classes"):
        read_photos(root)
    with pytest.raises(ValueError, match=r"classes: .*json has no 'hat', but 'full"):
        read_photos(root, classes=["head", "hat"])


def test_without_categories_every_annotation_is_a_face(write):
    annotations = [{**annotation, "category_id": 5} for annotation in ANNOTATIONS]
    photos = read_photos(write(categories=[], annotations=annotations)).photos
    assert len(photos[0].boxes) == 2


def test_several_categories_without_names_are_refused(write):
    for categories in ([], None):
        with pytest.raises(ValueError, match=r"several category_id, 1, 2; name these"):
            read_photos(write(categories=categories))


def test_every_image_has_a_split_or_none(write):
    with pytest.raises(ValueError, match=r"images\[1\] has no text as its split"):
        read_photos(write(images=[{**IMAGES[0], "split": "train"}, IMAGES[1]]))


def test_splits_have_several_names(write):
    images = [{**IMAGES[0], "split": "valid"}, {**IMAGES[1], "split": "training"}]
    folder = write(images=images)
    names = [[p.path.name for p in read_photos(folder, s).photos] for s in ("val", "train")]
    assert names == [["a.jpg"], ["b.jpg"]]


def test_paths_of_windows_and_sizes_that_are_not_known(write):
    image = {"id": 7, "file_name": "below\\b.jpg", "width": None, "height": 30}
    (photo,) = read_photos(write(images=[image])).photos
    assert photo.path.is_file()
    assert (photo.width, photo.height) == (None, None)


@pytest.mark.parametrize(
    "labels", ["annotations.json", "faces.json", "annotations/instances_default.json"]
)
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_single_file_without_splits_is_read_whole_and_said_to_have_none(write, labels, split):
    photo_set = read_photos(write(labels), split)
    assert (len(photo_set.photos), photo_set.split) == (2, None)


@pytest.mark.parametrize(
    ("labels", "split"),
    [("instances_val2017", "val"), ("valid", "val"), ("faces-train", "train"), ("train", "train")],
)
def test_a_file_is_of_the_split_that_its_name_speaks_of(write, labels, split):
    root = write(f"annotations/{labels}.json")
    write("annotations/latest.json", annotations=[{}])  # has "test" in its name, but no such word
    assert read_photos(root, split).split == split
    with pytest.raises(ValueError, match=f"no photo of split 'test'; there are .* '{split}'"):
        read_photos(root, "test")


@pytest.mark.parametrize("folder", ["{split}", "images/{split}"])
@pytest.mark.parametrize(
    "labels", ["{split}", "instances_{split}", "{split}_small", "faces-{split}"]
)
def test_a_file_that_is_named_has_the_photos_of_the_split_it_speaks_of(write, folder, labels):
    for split in ("train", "val"):
        root = write(f"annotations/{labels.format(split=split)}.json", folder.format(split=split))
    for split, asked in product(("train", "val"), repeat=2):
        file = root / "annotations" / f"{labels.format(split=split)}.json"
        photo_set = read_photos(file, asked)
        assert photo_set.photos[0].path == root / folder.format(split=split) / "a.jpg"
        assert photo_set.split is None


def test_the_folder_of_a_files_own_name_comes_before_that_of_its_split(write):
    for folder in ("val", "val2017"):
        root = write("annotations/instances_val2017.json", folder)
    (photo, _) = read_photos(root, "val").photos
    assert photo.path == root / "val2017" / "a.jpg"


@pytest.mark.parametrize("folder", ["valid", "images/validation"])
def test_the_folder_of_a_split_has_several_names(write, folder):
    root = write("annotations/faces-val.json", folder)
    for split in ("val", "valid"):
        assert read_photos(root, split).photos[0].path == root / folder / "a.jpg"


def test_the_splits_of_images_count_more_than_the_name_of_their_file(write):
    images = [{**IMAGES[0], "split": "val"}]
    for folder in ("train", "val"):
        root = write("annotations/train.json", folder, images=images, annotations=[])
    (photo,) = read_photos(root / "annotations" / "train.json", "val").photos
    assert photo.path == root / "val" / "a.jpg"


def test_captions_and_key_points_beside_the_boxes_are_passed_over(write):
    root = write("annotations/captions_train.json", annotations=[{}])
    write("annotations/instances_train.json")
    assert len(read_photos(root).photos) == 2


def test_several_files_without_splits_are_a_question(write):
    write("annotations/a.json")
    with pytest.raises(ValueError, match=r"in several files, 'a\.json', 'b\.json'; name one"):
        read_photos(write("annotations/b.json"))


def test_a_file_with_a_byte_order_mark_is_read(write, tmp_path):
    write()
    file = tmp_path / "annotations.json"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert read_photos(tmp_path).form == "coco"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": [{"bbox": [1, 2, 3, 4]}]}, r"annotations\[0\] is malformed: it lacks"),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": [1, 2, 3]}]}, r"annotations.0. is malf.*bbox"),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": "box"}]}, r"annotations.0. is malf.*bbox"),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": [1, 2, "a", 4]}]}, "annotations.0. is malf"),
        ({"annotations": [*ANNOTATIONS, {**ANNOTATIONS[0], "image_id": 8}]},
         r"annotations\[4\] has image_id 8, which no image has; there are such as 7"),
        ({"annotations": [{**ANNOTATIONS[0], "image_id": "7"}]},
         r"annotations\[0\] has image_id '7', which no image has; there are such as 7"),
        ({"annotations": [{**ANNOTATIONS[0], "category_id": 9}]},
         r"annotations\[0\] has category_id 9, which no category has; .* 2 \(person\), 1 \(Face\)"),
        ({"images": [*IMAGES, {**IMAGES[1], "id": 7}]}, r"images\[2\] has the id 7 that image"),
        ({"annotations": {}}, "expected a JSON object with a list \"images\" and a list"),
        ({"images": [{"id": 7}]}, r"images\[0\] is malformed: it lacks 'file_name'"),
        ({"images": [7]}, r"images\[0\] is malformed"),
        ({"categories": [{"id": 2, "name": "cat"}, {"id": 1, "name": "dog"}]}, "are 'cat', 'dog'"),
        ({"categories": [1]}, "categories is malformed"),
        (
            {"categories": [{"id": 1, "name": "face"}, {"id": 1, "name": "person"}]},
            "categories is malformed: two have the id 1",
        ),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": "1234"}]}, "expected a bbox"),
        ({"annotations": [{**ANNOTATIONS[0], "bbox": None}]}, "expected a bbox"),
        ({"annotations": [{**ANNOTATIONS[0], "iscrowd": "0"}]}, "0 or 1 for iscrowd and ignore"),
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


def test_a_photo_that_is_listed_twice_is_refused(write):
    again = {**IMAGES[0], "id": 8}
    for name in ("a.jpg", "./a.jpg", "below/../a.jpg"):
        with pytest.raises(ValueError, match=r"2 entries are of .*a\.jpg; list each photo once"):
            read_photos(write(images=[*IMAGES, {**again, "file_name": name}]))
