import numpy as np
import pytest

from s3fd.data import read_photos

LABELS = "<meta><job><labels><label><name>face</name></label><label><name>head</name></label>"
BOX = '<box label="face" source="manual" occluded="0" xtl="10" ytl="20" xbr="30" ybr="40.5"/>'


def write(root, *images, meta=LABELS + "</labels></job></meta>"):
    text = f"<?xml version='1.0'?>\n<annotations><version>1.1</version>{meta}"
    (root / "annotations.xml").write_text(text + "".join(images) + "</annotations>")
    return root


def image(root, name, shapes=BOX, subset="", folder="images"):
    path = root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    subset = f' subset="{subset}"' if subset else ""
    return f'<image id="0" name="{name}" width="60" height="50"{subset}>{shapes}</image>'


@pytest.mark.parametrize("folder", ["images", "."])
def test_boxes_are_read_with_their_photos(tmp_path, folder):
    photos = [("below/a.jpg", BOX), ("b.jpg", "")]
    write(tmp_path, *(image(tmp_path, *photo, folder=folder) for photo in photos))
    photo_set = read_photos(tmp_path, "val")
    assert (photo_set.form, photo_set.split) == ("cvat", None)
    first, second = photo_set.photos
    np.testing.assert_array_equal(first.boxes, [[10, 20, 30, 40.5]])
    assert first.path.is_file()
    assert (first.width, first.height, len(second.boxes)) == (60, 50, 0)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ('<box label="face" xtl="10" ytl="20" xbr="30" ybr="30" rotation="90"/>', [15, 15, 25, 35]),
        ('<ellipse label="face" cx="20" cy="30" rx="5" ry="8"/>', [15, 22, 25, 38]),
        ('<ellipse label="face" cx="20" cy="30" rx="5" ry="8" rotation="90"/>', [12, 25, 28, 35]),
        ('<polygon label="face" points="1,5;9,2;4.5,8"/>', [1, 2, 9, 8]),
        ('<mask label="face" rle="3,1" left="3" top="4" width="5" height="6"/>', [3, 4, 8, 10]),
    ],
)
def test_other_shapes_count_as_the_boxes_around_them(tmp_path, shape, box):
    (photo,) = read_photos(write(tmp_path, image(tmp_path, "a.jpg", shape))).photos
    np.testing.assert_allclose(photo.boxes, [box], atol=1e-4)


def test_points_and_other_labels_are_left_out(tmp_path):
    shapes = '<points label="face" points="1,1"/>' + BOX.replace("face", "head") + BOX
    write(tmp_path, image(tmp_path, "a.jpg", shapes))
    assert len(read_photos(tmp_path).photos[0].boxes) == 1
    assert len(read_photos(tmp_path, classes=["face", "head"]).photos[0].boxes) == 2
    with pytest.raises(ValueError, match="has no 'hat', but 'face', 'head'"):
        read_photos(tmp_path, classes=["hat"])


def test_labels_without_a_class_of_faces_list_the_classes(tmp_path):
    write(tmp_path, image(tmp_path, "a.jpg", BOX.replace("face", "car")), meta="")
    with pytest.raises(ValueError, match="no class is called 'face', but there are 'car'"):
        read_photos(tmp_path)


def test_subsets_are_splits(tmp_path):
    images = [
        image(tmp_path, f"{subset}.jpg", subset=subset, folder=f"images/{subset}")
        for subset in ("Train", "Validation")
    ]
    write(tmp_path, *images)
    (photo,) = read_photos(tmp_path, "val").photos
    assert photo.path == tmp_path / "images" / "Validation" / "Validation.jpg"
    with pytest.raises(ValueError, match=r"no photo of split 'test'; .* 'Train', 'Validation'"):
        read_photos(tmp_path, "test")


@pytest.mark.parametrize("subsets", [("Train", "Validation"), ("north", "south")])
def test_photos_of_two_subsets_may_have_one_name(tmp_path, subsets):
    images = [
        image(tmp_path, "0001.jpg", subset=subset, folder=f"images/{subset}") for subset in subsets
    ]
    photo_set = read_photos(write(tmp_path, *images), "val")
    wanted = subsets if photo_set.split is None else subsets[1:]
    assert [photo.path for photo in photo_set.photos] == [
        tmp_path / "images" / subset / "0001.jpg" for subset in wanted
    ]


def test_the_annotations_of_a_video_are_refused_with_the_remedy(tmp_path):
    write(tmp_path, '<track id="0" label="face"></track>')
    with pytest.raises(ValueError, match="of a video; export them as 'CVAT for images'"):
        read_photos(tmp_path)


@pytest.mark.parametrize("shape", ['<box label="face" xtl="1"/>', BOX.replace("10", "ten")])
def test_a_malformed_box_is_named_by_its_image(tmp_path, shape):
    write(tmp_path, image(tmp_path, "a.jpg", shape))
    with pytest.raises(ValueError, match=r"annotations\.xml: image 'a\.jpg' is malformed"):
        read_photos(tmp_path)


def test_every_image_has_a_subset_or_none(tmp_path):
    write(tmp_path, image(tmp_path, "a.jpg", subset="train"), image(tmp_path, "b.jpg"))
    with pytest.raises(ValueError, match=r"image 'b\.jpg' has no subset, as others have"):
        read_photos(tmp_path)


def test_points_are_pairs(tmp_path):
    write(tmp_path, image(tmp_path, "a.jpg", '<polygon label="face" points="1,5,9;2,4,8"/>'))
    with pytest.raises(ValueError, match="expected points, two numbers each"):
        read_photos(tmp_path)
