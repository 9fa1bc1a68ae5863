import numpy as np
import pytest
from PIL import Image

from s3fd.data import augmentation
from s3fd.data.graphics import _letters, _shapes, with_graphics

PICTURES = 60


def ground(size=128, seed=0):
    return augmentation.plain(size, np.random.default_rng(seed))


def grey(size=128):
    return Image.new("RGB", (size, size), (128, 128, 128))


@pytest.mark.parametrize("size", [8, 32, 128, 300])
def test_something_is_drawn_on_most_grounds_and_their_boxes_stay(size):
    changed = 0
    for seed in range(PICTURES):
        before = ground(size, seed)
        after = with_graphics(before, np.random.default_rng(seed))
        assert after.image.shape == (size, size, 3)
        assert after.image.dtype == np.uint8
        assert after.boxes is before.boxes
        assert after.ignore is before.ignore
        changed += (after.image != before.image).any()
    assert changed > 0.7 * PICTURES


def test_what_is_drawn_follows_from_the_seed():
    same, again, other = (
        with_graphics(ground(), np.random.default_rng(seed)).image for seed in (3, 3, 4)
    )
    assert (same == again).all()
    assert (same != other).any()


@pytest.mark.parametrize("draw", [_letters, _shapes])
def test_it_is_large_and_small_sparse_and_dense(draw):
    shares = []
    for seed in range(PICTURES):
        picture = np.asarray(draw(grey(), np.random.default_rng(seed)))
        shares.append((np.abs(picture.astype(int) - 128).max(axis=2) > 8).mean())
    assert min(shares) < 0.1
    assert max(shares) > 0.3
    assert 0.05 < np.median(shares) < 0.7


def test_letters_have_one_colour_and_shapes_many():
    def other_colours(draw, seed):
        """How far pixels are from the line between grey and the most frequent other colour."""
        picture = np.asarray(draw(grey(), np.random.default_rng(seed))).reshape(-1, 3) - 128.0
        return np.linalg.svd(picture, compute_uv=False)[1] / len(picture) ** 0.5

    assert max(other_colours(_letters, seed) for seed in range(20)) < 1
    assert np.median([other_colours(_shapes, seed) for seed in range(20)]) > 10


def test_letters_reach_every_part_of_a_picture():
    touched = np.zeros((128, 128), bool)
    for seed in range(PICTURES):
        picture = np.asarray(_letters(grey(), np.random.default_rng(seed)))
        touched |= (picture != 128).any(axis=2)
    assert touched.mean() > 0.95
