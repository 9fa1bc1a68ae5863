import numpy as np
import pytest
from PIL import Image

from s3fd.data import AnnotatedImage, augmentation
from s3fd.data.augmentation import Sample
from s3fd.data.patches import Patch
from s3fd.data.photo import open_photo

EMPTY = np.zeros((0, 4), np.float32)


def photo(tmp_path, *, width=60, height=40, boxes=EMPTY, ignore=EMPTY, image=None):
    path = tmp_path / "photo.png"
    (image or Image.new("RGB", (width, height))).save(path)
    boxes, ignore = (np.asarray(b, np.float32).reshape(-1, 4) for b in (boxes, ignore))
    return AnnotatedImage(path, width, height, boxes, ignore)


def crop(annotated, patch, size, colours=None):
    with open_photo(annotated) as opened:
        return augmentation.crop(opened, Patch(*patch), size, colours)


def test_boxes_move_and_scale_with_their_patch(tmp_path):
    annotated = photo(tmp_path, boxes=[[20, 10, 40, 30]])
    sample = crop(annotated, (10, 0, 40), 80)
    np.testing.assert_allclose(sample.boxes, [[20, 20, 60, 60]])
    assert sample.image.shape == (80, 80, 3)


def test_the_pixels_of_a_face_stay_in_its_box(tmp_path):
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (20, 10, 40, 30))
    annotated = photo(tmp_path, image=image, boxes=[[20, 10, 40, 30]])
    sample = crop(annotated, (12, 4, 32), 64)
    x1, y1, x2, y2 = sample.boxes[0].astype(int)
    bright = sample.image[..., 0] > 127
    assert bright[y1:y2, x1:x2].all()
    assert bright.sum() == (x2 - x1) * (y2 - y1)


def test_a_face_is_kept_by_its_centre_and_clipped(tmp_path):
    annotated = photo(tmp_path, boxes=[[20, 10, 40, 30]])
    sample = crop(annotated, (25, 0, 30), 30)
    np.testing.assert_allclose(sample.boxes, [[0, 10, 15, 30]])


def test_the_visible_part_of_a_face_whose_centre_is_cut_off_is_ignored(tmp_path):
    annotated = photo(tmp_path, boxes=[[20, 10, 40, 30]])
    sample = crop(annotated, (32, 5, 28), 28)
    assert len(sample.boxes) == 0
    np.testing.assert_allclose(sample.ignore, [[0, 5, 8, 25]])


def test_a_face_that_becomes_too_small_is_ignored_and_counted(tmp_path):
    annotated = photo(tmp_path, boxes=[[10, 10, 18, 20], [20, 20, 36, 36]])
    sample = crop(annotated, (0, 0, 40), 20)
    np.testing.assert_allclose(sample.boxes, [[10, 10, 18, 18]])
    np.testing.assert_allclose(sample.ignore, [[5, 5, 9, 10]])
    assert sample.tiny == 1


def test_a_face_that_leaves_the_photo_is_what_of_it_is_on_the_photo(tmp_path):
    annotated = photo(tmp_path, boxes=[[-20, 10, 10, 30], [70, 10, 90, 30]])
    sample = crop(annotated, (0, 0, 40), 40)
    np.testing.assert_allclose(sample.boxes, [[0, 10, 10, 30]])
    assert len(sample.ignore) == 0


def test_a_patch_beyond_the_photo_has_one_colour_there_and_boxes_where_their_pixels_are(tmp_path):
    image = Image.new("RGB", (60, 40))
    image.paste((255, 255, 255), (20, 10, 40, 30))
    annotated = photo(tmp_path, image=image, boxes=[[20, 10, 40, 30]])
    sample = crop(annotated, (-30, -40, 120), 240)
    np.testing.assert_allclose(sample.boxes, [[100, 100, 140, 140]])
    assert (sample.image[100:140, 100:140].mean(axis=(0, 1)) > 240).all()
    beyond = np.ones((240, 240), bool)
    beyond[80:160, 60:180] = False
    assert len(np.unique(sample.image[beyond], axis=0)) == 1
    assert sample.image[85, 65].max() == 0


def test_colours_change_the_photo_and_not_what_lies_beyond(tmp_path):
    annotated = photo(tmp_path, image=Image.new("RGB", (60, 40), (10, 20, 30)))
    colours = np.array([[0, 0, 1, 5], [1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    sample = crop(annotated, (0, 0, 60), 60, colours)
    assert sample.image[10, 10].tolist() == [35, 10, 20]
    assert sample.image[50, 10].tolist() == [123, 117, 104]


@pytest.mark.parametrize("patch", [(59.7, 39.8, 0.2), (0, 0, 0.01), (-5000, -5000, 5010)])
def test_a_patch_of_any_size_gives_an_image(tmp_path, patch):
    sample = crop(photo(tmp_path, boxes=[[59, 39, 60, 40]]), patch, 32)
    assert sample.image.shape == (32, 32, 3)
    assert np.isfinite(sample.boxes).all()


@pytest.mark.parametrize("seed", range(20))
def test_edges_that_fall_between_pixels_move_the_boxes_too(tmp_path, seed):
    """A bright square is where its box says, though patches begin at whole pixels."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (640, 480))
    image.paste((255, 255, 255), (200, 160, 360, 320))
    annotated = photo(tmp_path, image=image, width=640, height=480, boxes=[[200, 160, 360, 320]])
    image.save(tmp_path / "photo.jpg", quality=95)
    annotated = AnnotatedImage(tmp_path / "photo.jpg", 640, 480, annotated.boxes, EMPTY)
    side = rng.uniform(380, 479)
    patch = (rng.uniform(160, 199), rng.uniform(0, 480 - side), side)
    sample = crop(annotated, patch, int(rng.choice([64, 96, 320, 640])))
    rows, columns = np.nonzero(sample.image[..., 0] > 127)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(sample.boxes[0], seen, atol=1.0)


def test_what_lies_outside_the_patch_is_dropped(tmp_path):
    annotated = photo(tmp_path, boxes=[[0, 0, 10, 10]], ignore=[[0, 30, 10, 40]])
    sample = crop(annotated, (20, 10, 20), 40)
    assert sample.boxes.shape == sample.ignore.shape == (0, 4)


def test_a_jpeg_decoded_at_a_fraction_shows_the_same_patch(tmp_path):
    ramp = np.linspace(0, 255, 640).astype(np.uint8)
    image = Image.fromarray(np.repeat(np.tile(ramp, (480, 1))[..., None], 3, axis=2))
    image.save(tmp_path / "photo.jpg", quality=95)
    annotated = AnnotatedImage(tmp_path / "photo.jpg", 640, 480, EMPTY, EMPTY)
    small = crop(annotated, (100, 0, 480), 48).image
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
    whole = augmentation.collage(tiles, 2, 16)
    assert [int(whole.image[y, x, 0]) for y in (0, 15) for x in (0, 15)] == [0, 1, 2, 3]
    np.testing.assert_array_equal(
        whole.boxes, [[1, 1, 7, 7], [9, 1, 15, 7], [1, 9, 7, 15], [9, 9, 15, 15]]
    )


def test_plain_squares_are_black_white_and_of_one_colour_too():
    images = [augmentation.plain(32, np.random.default_rng(seed)).image for seed in range(400)]
    even = [image for image in images if (image == image[0, 0]).all()]
    assert 40 < len(even) < 120
    assert any(image.max() == 0 for image in even)
    assert any(image.min() == 255 for image in even)
    assert any(len(set(image[0, 0])) == 1 and 0 < image[0, 0, 0] < 255 for image in even)
    assert any(len(set(image[0, 0])) == 3 for image in even)


def test_a_plain_square_is_smooth_and_has_no_faces():
    for seed in range(20):
        sample = augmentation.plain(128, np.random.default_rng(seed))
        assert sample.image.shape == (128, 128, 3)
        assert sample.image.dtype == np.uint8
        assert np.abs(np.diff(sample.image.astype(int), axis=0)).max() < 32
        assert sample.boxes.shape == sample.ignore.shape == (0, 4)


def test_spots_are_smooth_and_small_beside_the_ground():
    ground = augmentation.plain(128, np.random.default_rng(5))
    shares = []
    for seed in range(40):
        spotted = augmentation.spotted(ground, np.random.default_rng(seed))
        assert spotted.image.shape == (128, 128, 3)
        assert spotted.image.dtype == np.uint8
        assert len(spotted.boxes) == 0
        changed = np.abs(spotted.image.astype(int) - ground.image).max(axis=2) > 2
        shares.append(changed.mean())
    assert max(shares) > 0.1
    assert np.median(shares) < 0.5


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
