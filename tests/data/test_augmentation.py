import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s3fd.data import AnnotatedImage, augmentation
from s3fd.data.augmentation import Sample

EMPTY = np.zeros((0, 4), np.float32)


def photo(tmp_path, *, width=60, height=40, boxes=EMPTY, ignore=EMPTY, image=None):
    path = tmp_path / "photo.png"
    (image or Image.new("RGB", (width, height))).save(path)
    boxes, ignore = (np.asarray(b, np.float32).reshape(-1, 4) for b in (boxes, ignore))
    return AnnotatedImage(path, width, height, boxes, ignore)


@given(
    seed=st.integers(0, 10_000),
    width=st.integers(10, 300),
    height=st.integers(10, 300),
    face=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_a_patch_is_square_and_lies_inside_the_photo(seed, width, height, face):
    xs, ys = sorted(face[:2]), sorted(face[2:])
    box = [xs[0] * width, ys[0] * height, xs[1] * width, ys[1] * height]
    annotated = AnnotatedImage(None, width, height, np.array([box], np.float32), EMPTY)
    x, y, side = augmentation.square_patch(annotated, np.random.default_rng(seed))
    assert 0.3 * min(width, height) - 1e-6 <= side <= min(width, height)
    assert -1e-6 <= x <= width - side + 1e-6
    assert -1e-6 <= y <= height - side + 1e-6


def test_most_patches_hold_the_centre_of_a_face():
    annotated = AnnotatedImage(None, 400, 300, np.array([[350, 20, 380, 60]], np.float32), EMPTY)
    rng = np.random.default_rng(0)
    patches = [augmentation.square_patch(annotated, rng) for _ in range(500)]
    held = [x <= 365 <= x + side and y <= 40 <= y + side for x, y, side in patches]
    assert np.mean(held) > 0.75


def test_boxes_move_and_scale_with_their_patch(tmp_path):
    annotated = photo(tmp_path, boxes=[[20, 10, 40, 30]])
    sample = augmentation.crop(annotated, (10, 0, 40), 80)
    np.testing.assert_allclose(sample.boxes, [[20, 20, 60, 60]])
    assert sample.image.shape == (80, 80, 3)


def test_the_pixels_of_a_face_stay_in_its_box(tmp_path):
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (20, 10, 40, 30))
    annotated = photo(tmp_path, image=image, boxes=[[20, 10, 40, 30]])
    sample = augmentation.crop(annotated, (12, 4, 32), 64)
    x1, y1, x2, y2 = sample.boxes[0].astype(int)
    bright = sample.image[..., 0] > 127
    assert bright[y1:y2, x1:x2].all()
    assert bright.sum() == (x2 - x1) * (y2 - y1)


def test_a_face_is_kept_by_its_centre_and_clipped(tmp_path):
    annotated = photo(tmp_path, boxes=[[20, 10, 40, 30]])
    sample = augmentation.crop(annotated, (25, 0, 30), 30)
    np.testing.assert_allclose(sample.boxes, [[0, 10, 15, 30]])


def test_the_visible_part_of_a_face_whose_centre_is_cut_off_is_ignored(tmp_path):
    annotated = photo(tmp_path, boxes=[[20, 10, 40, 30]])
    sample = augmentation.crop(annotated, (32, 5, 28), 28)
    assert len(sample.boxes) == 0
    np.testing.assert_allclose(sample.ignore, [[0, 5, 8, 25]])


def test_a_face_that_becomes_too_small_is_ignored(tmp_path):
    annotated = photo(tmp_path, boxes=[[10, 10, 18, 20]])
    sample = augmentation.crop(annotated, (0, 0, 40), 20)
    assert len(sample.boxes) == 0
    np.testing.assert_allclose(sample.ignore, [[5, 5, 9, 10]])


def test_what_lies_outside_the_patch_is_dropped(tmp_path):
    annotated = photo(tmp_path, boxes=[[0, 0, 10, 10]], ignore=[[0, 30, 10, 40]])
    sample = augmentation.crop(annotated, (20, 10, 20), 40)
    assert sample.boxes.shape == sample.ignore.shape == (0, 4)


def test_a_jpeg_decoded_at_a_fraction_shows_the_same_patch(tmp_path):
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    image = Image.fromarray(np.repeat(np.tile(ramp, (480, 1))[..., None], 3, axis=2))
    image.save(tmp_path / "photo.jpg", quality=95)
    annotated = AnnotatedImage(tmp_path / "photo.jpg", 640, 480, EMPTY, EMPTY)
    small = augmentation.crop(annotated, (100, 0, 480), 48).image
    expected = np.interp(100 + (np.arange(48) + 0.5) * 10 - 0.5, np.arange(640), ramp)
    np.testing.assert_allclose(small[24, :, 0], expected, atol=3)


def test_flipping_twice_gives_the_sample_back():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    sample = Sample(image, np.array([[1, 2, 9, 12]], np.float32), EMPTY)
    once = augmentation.flip(sample)
    np.testing.assert_array_equal(once.boxes, [[23, 2, 31, 12]])
    np.testing.assert_array_equal(once.image[:, 0], image[:, -1])
    twice = augmentation.flip(once)
    np.testing.assert_array_equal(twice.image, image)
    np.testing.assert_array_equal(twice.boxes, sample.boxes)


def test_a_collage_lays_its_tiles_row_by_row():
    tiles = [
        Sample(np.full((8, 8, 3), i, np.uint8), np.array([[1, 1, 7, 7]], np.float32), EMPTY)
        for i in range(4)
    ]
    whole = augmentation.collage(tiles, 2)
    assert [int(whole.image[y, x, 0]) for y in (0, 15) for x in (0, 15)] == [0, 1, 2, 3]
    np.testing.assert_array_equal(
        whole.boxes, [[1, 1, 7, 7], [9, 1, 15, 7], [1, 9, 7, 15], [9, 9, 15, 15]]
    )


def test_a_plain_square_is_smooth_and_has_no_faces():
    for seed in range(20):
        sample = augmentation.plain(128, np.random.default_rng(seed))
        assert sample.image.shape == (128, 128, 3)
        assert sample.image.dtype == np.uint8
        assert np.abs(np.diff(sample.image.astype(int), axis=0)).max() < 32
        assert sample.boxes.shape == sample.ignore.shape == (0, 4)


def test_a_placed_patch_keeps_its_pixels_and_its_boxes():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    tile = Sample(pixels, np.array([[1, 2, 7, 8]], np.float32), EMPTY)
    ground = Sample(np.zeros((32, 32, 3), np.uint8), EMPTY, EMPTY)
    places = set()
    for _ in range(50):
        sample = augmentation.place(tile, ground, rng)
        x, y = (int(v) for v in sample.boxes[0, :2] - tile.boxes[0, :2])
        np.testing.assert_array_equal(sample.image[y : y + 8, x : x + 8], pixels)
        assert sample.image.sum() == pixels.sum()
        places.add((x, y))
    assert len(places) > 40
    assert not ground.image.any()


def test_colours_keep_grey_grey_whatever_saturation_and_hue():
    for seed in range(50):
        matrix = augmentation.colour_distortion(np.random.default_rng(seed))
        out = matrix[:, :3] @ np.full(3, 90.0) + matrix[:, 3]
        assert np.ptp(out) < 1e-2


def test_some_colour_distortions_are_the_identity():
    identity = np.eye(3, 4, dtype=np.float32)
    drawn = [augmentation.colour_distortion(np.random.default_rng(seed)) for seed in range(200)]
    same = [np.allclose(matrix, identity, atol=1e-5) for matrix in drawn]
    assert 0 < np.mean(same) < 0.2


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0broken"])
def test_a_photo_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "bad.jpg").write_bytes(content)
    annotated = AnnotatedImage(tmp_path / "bad.jpg", 60, 40, EMPTY, EMPTY)
    with pytest.raises(ValueError, match=r"bad\.jpg: cannot be trained on"):
        augmentation.crop(annotated, (0, 0, 40), 32)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright(tmp_path, orientation):
    image = Image.new("RGB", (64, 48))
    image.paste((255, 255, 255), (8, 8, 24, 24))  # upper left, when upright
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose, from upright to stored
    stored = image.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    annotated = AnnotatedImage(tmp_path / "photo.jpg", 64, 48, EMPTY, EMPTY)
    sample = augmentation.crop(annotated, (0, 0, 48), 48)
    bright = sample.image[..., 0] > 127
    assert bright[10:22, 10:22].all()
    assert not bright[30:, :].any()


def test_a_photo_of_another_size_than_annotated_is_named(tmp_path):
    annotated = photo(tmp_path, image=Image.new("RGB", (40, 60)))
    with pytest.raises(ValueError, match=r"photo\.png: .*it is \(40, 60\), not \(60, 40\)"):
        augmentation.crop(annotated, (0, 0, 40), 32)
