import numpy as np
import pytest

from s3fd.data import wear

NONE = np.zeros((0, 4), np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)


def contrast(image):
    return np.abs(np.diff(image.astype(int), axis=1)).mean()


def test_blur_loses_detail_the_more_the_larger_it_is(image):
    assert contrast(image) > contrast(wear.blur(image, 2.0)) > contrast(wear.blur(image, 4.0))


def test_noise_has_the_deviation_that_was_asked(rng):
    grey = np.full((64, 64, 3), 128, np.uint8)
    assert wear.noise(grey, 10.0, rng).std() == pytest.approx(10, rel=0.05)


def test_noise_covers_images_of_any_size(rng):
    assert wear.noise(np.full((1300, 1300, 3), 128, np.uint8), 5.0, rng).std() > 4


def test_a_lower_quality_changes_more(image):
    def change(quality):
        return np.abs(wear.compress(image, quality).astype(int) - image).mean()

    assert change(20) > change(80) > 0


def test_bad_light_darkens_and_keeps_black(image):
    dark = wear.darken(image, 2.0, 0.8)
    assert (dark <= image).all()
    assert dark[image == 0].max(initial=0) == 0


def test_a_quarter_to_a_half_of_a_face_is_covered(image, rng):
    for _ in range(40):
        covered, _ = wear.occlude(image, np.array([10, 20, 30, 50], np.float32), NONE, rng)
        changed = (covered != image).any(axis=2)
        assert not changed[:, :10].any()
        assert not changed[:, 30:].any()
        assert 0.2 < changed[20:50, 10:30].mean() <= 0.55


def test_a_face_is_not_covered_by_a_second_one_of_another_face(rng):
    image = np.zeros((64, 64, 3), np.uint8)
    image[50:58, 48:60] = 1
    image[:48] = 2
    face, other = np.array([[5, 5, 55, 45], [48, 50, 60, 58]], np.float32)
    parts = 0
    for _ in range(200):
        covered, shares = wear.occlude(image, face, other[None], rng)
        assert (covered == 1).all(axis=2).sum() == 8 * 12
        assert shares.tolist() == [0]
        parts += (covered == 0).all(axis=2).sum() > (image == 0).all(axis=2).sum()
    assert parts > 10


def test_what_is_covered_of_other_faces_is_told(image, rng):
    face = np.array([0, 0, 64, 64], np.float32)
    others = np.array([[4, 4, 14, 14], [20, 30, 44, 60], [60, 60, 70, 80]], np.float32)
    seen = set()
    for _ in range(100):
        covered, shares = wear.occlude(image, face, others, rng)
        changed = (covered != image).any(axis=2)
        for box, share in zip(others.astype(int), shares, strict=True):
            x1, y1, x2, y2 = box
            part = changed[y1:y2, x1:x2].sum() / ((x2 - x1) * (y2 - y1))
            assert abs(part - share) < 0.02  # a colour may be that of a pixel
        seen |= {share == 0 or share == 1 for share in shares.tolist()}
    assert seen == {True, False}


def test_a_face_that_leaves_the_image_is_no_trouble(image, rng):
    for box in ([-30, -30, 10, 10], [60, 60, 90, 90], [63.6, 3, 64, 9], [-9, 0, 99, 64]):
        for _ in range(20):
            covered, _ = wear.occlude(image, np.array(box, np.float32), NONE, rng)
            assert covered.shape == image.shape
