import numpy as np
import pytest

from s3fd.data.colour import colour_distortion


def drawn(count, **settings):
    return [colour_distortion(np.random.default_rng(seed), **settings) for seed in range(count)]


def test_grey_stays_grey_whatever_saturation_and_hue():
    for matrix in drawn(50):
        out = matrix[:, :3] @ np.full(3, 90.0) + matrix[:, 3]
        assert np.ptp(out) < 1e-2


def test_one_distortion_in_sixteen_changes_nothing():
    identity = np.eye(3, 4, dtype=np.float32)
    same = [np.allclose(matrix, identity, atol=1e-5) for matrix in drawn(2000)]
    assert np.mean(same) == pytest.approx(1 / 16, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_asked_share_of_images_loses_its_colours(share):
    grey = [
        np.ptp(matrix[:, :3] @ np.array([200.0, 90.0, 10.0]) + matrix[:, 3]) < 1e-2
        for matrix in drawn(1000, grey=share)
    ]
    assert np.mean(grey) == pytest.approx(share, abs=0.03)


def test_brightness_and_contrast_stay_in_the_ranges_of_ssd():
    middle = [matrix[:, :3] @ np.full(3, 128.0) + matrix[:, 3] for matrix in drawn(500)]
    assert np.abs(np.array(middle) - 128).max() <= 32.01
    slope = [(matrix[:, :3] @ np.ones(3)).mean() for matrix in drawn(500)]
    assert 0.5 - 1e-3 <= min(slope) < 0.55
    assert 1.45 < max(slope) <= 1.5 + 1e-3
