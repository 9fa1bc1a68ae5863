import numpy as np
import pytest
from PIL import Image

from s3fd.data import read_photos

YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: person\n  1: face\n"
# By the size of the photo, 100 x 50: the centre, then width and height.
FACE, PERSON = "1 0.5 0.5 0.2 0.4", "0 0.5 0.5 1 1"
BOX = [[40, 15, 60, 35]]


def add(root, photo, labels=None, size=(100, 50), exif=None):
    """A photo below the root, and its text if it has one."""
    path = root / photo
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path, **({"exif": exif} if exif else {}))
    if labels is not None:
        text = root / photo.replace("images", "labels").replace(path.suffix, ".txt")
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(labels)


@pytest.fixture
def root(tmp_path):
    add(tmp_path, "images/train/a.jpg", f"{FACE}\n{PERSON}\n")
    add(tmp_path, "images/train/b.png")
    add(tmp_path, "images/val/c.jpg", FACE)
    (tmp_path / "data.yaml").write_text(YAML)
    return tmp_path


def test_boxes_come_from_centres_and_sizes_by_the_photo(root):
    photo_set = read_photos(root)
    assert (photo_set.form, photo_set.split) == ("yolo", "train")
    first, second = photo_set.photos
    np.testing.assert_allclose(first.boxes, BOX, atol=1e-4)
    assert (first.width, first.height) == (100, 50)
    assert len(second.boxes) == 0
    assert [photo.path.name for photo in read_photos(root, "val").photos] == ["c.jpg"]
    with pytest.raises(ValueError, match=r"no photo of split 'test'; there are .*'train', 'val'"):
        read_photos(root, "test")


def test_several_classes_may_be_faces(root):
    (both, _) = read_photos(root, classes=["face", "person"]).photos
    assert len(both.boxes) == 2
    with pytest.raises(ValueError, match=r"data\.yaml has no 'head', but 'face', 'person'"):
        read_photos(root, classes=["head"])


def test_the_settings_themselves_can_be_named(root):
    assert len(read_photos(root / "data.yaml").photos) == 2


def test_the_folders_of_roboflow_have_a_step_up_too_many(tmp_path):
    add(tmp_path, "valid/images/a.jpg", "0 0.5 0.5 0.2 0.4")
    (tmp_path / "data.yaml").write_text("val: ../valid/images\nnames: [face]\nnc: 1\n")
    (photo,) = read_photos(tmp_path, "val").photos
    np.testing.assert_allclose(photo.boxes, BOX, atol=1e-4)


def test_cvat_lists_the_photos_of_a_split(tmp_path):
    add(tmp_path, "images/train/a.jpg", "0 0.5 0.5 0.2 0.4")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: train.txt\nnames: {0: face}\n")
    (tmp_path / "train.txt").write_text("data/images/train/a.jpg\n")
    assert len(read_photos(tmp_path).photos[0].boxes) == 1


@pytest.mark.parametrize("place", ["images/{split}", "{split}/images"])
def test_folders_alone_tell_the_splits(tmp_path, place):
    for split in ("train", "valid"):
        add(tmp_path, f"{place.format(split=split)}/{split}.jpg", "0 0.5 0.5 0.2 0.4")
    photo_set = read_photos(tmp_path, "val")
    assert photo_set.split == "val"
    assert [photo.path.name for photo in photo_set.photos] == ["valid.jpg"]


def test_photos_beside_the_folders_of_splits_are_told(tmp_path):
    for place in ("images/train", "images/val", "images"):
        add(tmp_path, f"{place}/a.jpg", "0 0.5 0.5 0.2 0.4")
    with pytest.warns(UserWarning, match=r"1 files that are in no folder .* such as a\.jpg"):
        assert len(read_photos(tmp_path).photos) == 1


def test_flat_folders_have_no_splits_and_a_list_of_classes(tmp_path):
    add(tmp_path, "images/a.jpg", f"{FACE}\n{PERSON}\n")
    (tmp_path / "classes.txt").write_text("\ufeffperson\nFace\n", encoding="utf-8")
    photo_set = read_photos(tmp_path, "val")
    assert photo_set.split is None
    np.testing.assert_allclose(photo_set.photos[0].boxes, BOX, atol=1e-4)


def test_label_studio_leaves_notes_about_the_classes(tmp_path):
    add(tmp_path, "images/a.jpg", "0 0.5 0.5 0.2 0.4")
    (tmp_path / "classes.txt").write_text("face\n")
    (tmp_path / "notes.json").write_text('{"categories": [{"id": 0, "name": "face"}]}')
    photo_set = read_photos(tmp_path)
    assert (photo_set.form, len(photo_set.photos[0].boxes)) == ("yolo", 1)


def test_classes_without_names_are_faces_if_there_is_a_single_one(tmp_path):
    add(tmp_path, "images/a.jpg", FACE)
    assert len(read_photos(tmp_path).photos[0].boxes) == 1
    add(tmp_path, "images/b.jpg", PERSON)
    with pytest.raises(ValueError, match="no class is called 'face', but there are '0', '1'"):
        read_photos(tmp_path)
    assert [len(p.boxes) for p in read_photos(tmp_path, classes=["1"]).photos] == [1, 0]


def test_polygons_count_as_the_boxes_around_them(root):
    (root / "labels/train/a.txt").write_text("1 0.4 0.3 0.6 0.5 0.5 0.7\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)


def test_key_points_are_passed_over(root):
    (root / "data.yaml").write_text(YAML + "kpt_shape: [2, 2]\n")
    (root / "labels/train/a.txt").write_text(f"{FACE} 0.1 0.1 0.9 0.9\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)


@pytest.mark.parametrize("points", ["0.5 0.5 2", "0.5 0.5 2 0.4 0.4 1 0 0 0"])
def test_key_points_that_say_whether_they_are_seen_need_no_settings(root, points):
    (root / "labels/train/a.txt").write_text(f"{FACE} {points}\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("0.5 0.5 0.4", "or the points x y of a polygon"),  # an x without its y
        ("0.5 0.5 0.4 0.4 0.9", "or the points x y of a polygon"),  # with a score
        ("-1 -1 " * 5, r"data\.yaml has to say so: kpt_shape"),
        ("100 100", "by the size of the photo"),
    ],
)
def test_lines_that_are_neither_boxes_nor_polygons_are_refused(root, more, message):
    (root / "labels/train/a.txt").write_text(f"{FACE} {more}\n")
    with pytest.raises(ValueError, match=rf"a\.txt:1: expected .*{message}"):
        read_photos(root)


def test_polygons_that_all_have_seven_points_may_be_something_else(root):
    five = f"{FACE} {'0.5 0.5 ' * 5}\n"
    (root / "labels/train/a.txt").write_text(five)
    with pytest.warns(UserWarning, match=r"15 numbers.* write kpt_shape: \[5, 2\] into data\.yaml"):
        read_photos(root)
    (root / "data.yaml").write_text(YAML + "kpt_shape: [5, 2]\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)


def key_points(count, seen=" 1", inside=True):
    """So many points within FACE; or one in eight beside it, as of jaws."""
    points = np.random.default_rng(count).uniform([0.42, 0.32], [0.58, 0.68], (count, 2))
    if not inside:
        points[::8, 1] = 0.72
    return "".join(f" {x:.3f} {y:.3f}{seen}" for x, y in points)


@pytest.mark.parametrize("count", [2, 4, 5, 6, 68, 98, 106])
@pytest.mark.parametrize("seen", [" 0", " 1", " 2"])
def test_any_number_of_key_points_that_say_whether_they_are_seen_is_passed_over(root, count, seen):
    (root / "labels/train/a.txt").write_text(f"{FACE}{key_points(count, seen)}\n{PERSON}\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)
    (root / "labels/train/a.txt").write_text(f"{FACE}{key_points(count - 1, seen)} 0 0 0\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)


@pytest.mark.parametrize(("count", "lines"), [(2, 5), (4, 3), (10, 1), (68, 1)])
def test_key_points_that_are_many_may_lie_beside_the_box(root, count, lines):
    line = f"{FACE}{key_points(count, inside=False)}\n"
    (root / "labels/train/a.txt").write_text(line * lines)
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX * lines, atol=1e-4)


@pytest.mark.parametrize(
    "points",
    [
        "0.3 0.1 0.3 0.3 0.1 0.3 0 0.2 0.2 0",  # cut by the left and the upper edge
        "0.7 0.9 0.7 0.7 0.9 0.7 1 0.8 0.8 1",  # by the others
        "0.5 0.2 0.8 0.2 0.8 0.8 0 0.8 0.2 0",
        "0.3 0.3 0.6 0.3 0.6 0.6 0.2 0.6 0.2 0.5 1 0.5 0.4 0.2",
    ],
)
def test_polygons_with_points_at_the_edges_of_the_photo_stay_polygons(root, points, recwarn):
    (root / "labels/train/a.txt").write_text(f"1 {points}\n")
    corners = np.array(points.split(), float).reshape(-1, 2) * [100, 50]
    around = [[*corners.min(axis=0), *corners.max(axis=0)]]
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, around, atol=1e-4)
    assert not recwarn.list


def test_a_polygon_along_all_edges_of_the_photo_stays_one(root):
    ring = "0.5 0 1 0 1 0.5 1 1 0.5 1 0 1 0 0.5 0 0"  # 0 and 1 are where key points have them
    triangle = "0.4 0.3 0.6 0.5 0.5 0.7"
    (root / "labels/train/a.txt").write_text(f"1 {ring}\n1 {triangle}\n")
    expected = [[0, 0, 100, 50], *BOX]
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, expected, atol=1e-4)
    (root / "labels/train/a.txt").write_text(f"1 {ring}\n")
    with pytest.warns(UserWarning, match=r"17 numbers.* of 8 points; .* kpt_shape: \[4, 3\]"):
        np.testing.assert_allclose(read_photos(root).photos[0].boxes, expected[:1], atol=1e-4)


@pytest.mark.parametrize(
    ("line", "times", "shape"),
    [
        (f"{FACE}{key_points(68, '')}", 1, "68, 2"),  # in the box that they follow
        (f"{FACE}{key_points(4, '')}", 1, "4, 2"),
        (f"{FACE}{key_points(2, '')}", 10, "2, 2"),
        (f"{FACE}{key_points(68, '', inside=False)}", 10, "68, 2"),  # all as long as each other
        (f"{FACE}{key_points(4, inside=False)}", 1, "4, 3"),  # seen, but beside the box
    ],
)
def test_lines_that_may_be_polygons_or_have_key_points_are_told(root, line, times, shape):
    (root / "labels/train/a.txt").write_text(f"{line}\n" * times + f"{PERSON}\n")
    with pytest.warns(UserWarning, match=rf"polygons of .* kpt_shape: \[{shape}\] into data\.yaml"):
        read_photos(root)
    (root / "data.yaml").write_text(f"{YAML}kpt_shape: [{shape}]\n")
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX * times, atol=1e-4)


@pytest.mark.parametrize(
    "lines",
    [
        ["0.4 0.3 0.6 0.5 0.5 0.7"],
        ["0.4 0.3 0.6 0.3 0.6 0.7 0.4 0.7"] * 3,
        ["0.4 0.3 0.6 0.3 0.6 0.7 0.4 0.7", "0.4 0.3 0.6 0.3 0.6 0.7 0.5 0.7 0.4 0.6 0.4 0.5"],
    ],
)
def test_polygons_that_are_few_or_of_different_lengths_are_no_doubt(root, lines, recwarn):
    (root / "labels/train/a.txt").write_text("".join(f"1 {line}\n" for line in lines))
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX * len(lines), atol=1e-4)
    assert not recwarn.list


@pytest.mark.parametrize(
    "text",
    [
        "train: images/train\nnames: {'0': person, '1': face}\nnc: '2'\n",
        "train: images\\train\nnames: [person, face]\n",
        "train: ..\\images\\train\nnames: [person, face]\n",
    ],
)
def test_settings_may_have_numbers_in_quotes_and_the_strokes_of_windows(root, text):
    (root / "data.yaml").write_text(text)
    np.testing.assert_allclose(read_photos(root).photos[0].boxes, BOX, atol=1e-4)


def test_darknet_lists_photos_that_lie_beside_their_labels(tmp_path):
    add(tmp_path, "obj_train_data/a.jpg")
    (tmp_path / "obj_train_data" / "a.txt").write_text(f"{FACE}\n{PERSON}\n")
    (tmp_path / "obj.names").write_text("person\nface\n")
    (tmp_path / "train.txt").write_text("data/obj_train_data/a.jpg\n")
    (tmp_path / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    for place in (tmp_path, tmp_path / "obj.data"):
        photo_set = read_photos(place)
        assert (photo_set.form, photo_set.split) == ("yolo", "train")
        np.testing.assert_allclose(photo_set.photos[0].boxes, BOX, atol=1e-4)
    (tmp_path / "obj.names").unlink()
    with pytest.raises(FileNotFoundError, match=r"obj\.names does not exist"):
        read_photos(tmp_path)


def add_beside(root, photo, labels):
    add(root, photo)
    (root / photo).with_suffix(".txt").write_text(labels, encoding="utf-8")


@pytest.mark.parametrize("place", ["", "images/", "a/b/"])
def test_texts_may_lie_beside_their_photos(tmp_path, place):
    add_beside(tmp_path, f"{place}a.jpg", f"\ufeff{FACE}\n{PERSON}\n")  # as Notepad writes it
    add_beside(tmp_path, f"{place}b.JPG", "")  # no face
    add(tmp_path, f"{place}c.png")
    (tmp_path / "classes.txt").write_text("person\nface\n")
    photo_set = read_photos(tmp_path)
    assert (photo_set.form, photo_set.split) == ("yolo", None)
    np.testing.assert_allclose(photo_set.photos[0].boxes, BOX, atol=1e-4)
    assert [len(photo.boxes) for photo in photo_set.photos] == [1, 0, 0]


def test_labelimg_writes_classes_beside_the_texts_of_a_split(tmp_path):
    for name in ("train/a", "train/b", "val/c"):
        add_beside(tmp_path, f"{name}.jpg", FACE)
        (tmp_path / name).with_name("classes.txt").write_text("person\nface\n")
    for split, count in (("train", 2), ("val", 1)):
        photo_set = read_photos(tmp_path, split)
        assert (photo_set.form, photo_set.split) == ("yolo", split)
        assert [len(photo.boxes) for photo in photo_set.photos] == [1] * count
    with pytest.raises(ValueError, match=r"no photo of split 'test'; there are .*'train', 'val'"):
        read_photos(tmp_path, "test")


@pytest.mark.parametrize("settings", [None, YAML])
def test_texts_beside_photos_below_images_have_the_splits_of_their_folders(tmp_path, settings):
    add_beside(tmp_path, "images/train/a.jpg", FACE)
    add_beside(tmp_path, "images/val/b.jpg", FACE)
    if settings:
        (tmp_path / "data.yaml").write_text(settings)
    for split, name in (("train", "a.jpg"), ("val", "b.jpg")):
        (photo,) = read_photos(tmp_path, split).photos
        assert (photo.path.name, len(photo.boxes)) == (name, 1)


@pytest.mark.parametrize(
    "text", ["A dog in the snow.\n", "2 dogs\n", "1 2 3\n", "1 400 300 80 90\n", "\n", "\0\xff" * 9]
)
def test_other_texts_beside_photos_are_no_labels(tmp_path, text):
    add_beside(tmp_path, "a.jpg", text)
    with pytest.raises(FileNotFoundError, match="holds no labels that are known"):
        read_photos(tmp_path)


def test_texts_of_labels_come_before_those_beside_photos(root):
    (root / "images" / "train" / "b.txt").write_text("A dog in the snow.")
    assert [len(photo.boxes) for photo in read_photos(root).photos] == [1, 0]


def test_the_size_is_that_of_the_upright_photo(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    add(root, "images/train/a.jpg", FACE, size=(50, 100), exif=exif)
    first, _ = read_photos(root).photos
    assert (first.width, first.height) == (100, 50)
    np.testing.assert_allclose(first.boxes, BOX, atol=1e-4)


def test_a_damaged_photo_stays_in_the_set_for_the_loader_to_name(root):
    (root / "images/train/a.jpg").write_bytes(b"no photo")
    first, _ = read_photos(root).photos
    assert (first.path.name, first.width, len(first.boxes)) == ("a.jpg", None, 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.2", r"a\.txt:1: expected class x y width height, got 1 0\.5"),
        ("face 0.5 0.5 0.2 0.4", r"a\.txt:1: expected class"),
        ("1.5 0.5 0.5 0.2 0.4", r"a\.txt:1: expected class"),
        ("1 0.5 nan 0.2 0.4", r"a\.txt:1: expected class"),
        ("7 0.5 0.5 0.2 0.4", r"data\.yaml: it has no name for class 7, which labels have"),
    ],
)
def test_malformed_labels_are_named(root, line, message):
    (root / "labels/train/a.txt").write_text(line)
    with pytest.raises(ValueError, match=message):
        read_photos(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [face", "not YAML"),
        ("[1]", "expected settings, got a list"),
        ("train: images", "expected names of classes by their number, got None"),
        ("train: 7\nnames: [face]", "expected a folder or a list of them in train, got 7"),
        (
            "train: images/train\nnames: [cat, dog]",
            "no class is called 'face', .* 'cat', 'dog'",
        ),
    ],
)
def test_malformed_settings_are_named(root, text, message):
    (root / "data.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_photos(root)


def test_folders_without_photos_are_named(root):
    (root / "data.yaml").write_text("train: elsewhere\nnames: [face]\n")
    with pytest.raises(FileNotFoundError, match=r"there is no photo in .*elsewhere"):
        read_photos(root)


@pytest.mark.parametrize("row", ["1 50 25 20 20", "1 50 50 20 40", "1 0.5 0.5 -20 0.4"])
def test_pixels_and_per_cent_are_refused(root, row):
    add(root, "images/train/d.jpg", f"{FACE}\n{row}")
    with pytest.raises(ValueError, match=r"d\.txt:2: expected x y width height by the size .* per"):
        read_photos(root)


def test_a_class_below_zero_is_refused(root):
    add(root, "images/train/d.jpg", "-1 0.5 0.5 0.2 0.4")
    with pytest.raises(ValueError, match=r"d\.txt:1: expected class x y"):
        read_photos(root)


def test_the_number_of_classes_is_that_of_their_names(root):
    (root / "data.yaml").write_text(YAML + "nc: 3\n")
    with pytest.raises(ValueError, match="nc is 3, but there are 2 names"):
        read_photos(root)


def test_photos_without_a_single_text_are_refused(tmp_path):
    add(tmp_path, "images/a.jpg")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [face]\n")
    with pytest.raises(
        FileNotFoundError, match=r"none of 1 photos .*labels.a\.txt or .*images.a\.txt"
    ):
        read_photos(tmp_path)


@pytest.mark.parametrize("name", ["d.TXT", "gone.txt"])
def test_texts_without_a_photo_are_told(root, name):
    add(root, "images/train/d.jpg")
    (root / "labels" / "train" / name).write_text(FACE)
    with pytest.warns(UserWarning, match=f"1 texts belong to no photo, such as {name}"):
        assert len(read_photos(root).photos) == 3
