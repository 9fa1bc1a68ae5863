import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from s3fd.data.colour import colour_distortion, recolour

# Sums that end in a half, in 0 or in 255, and any others; none of them overflows.
FACTORS = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, -1.0, 0.25, 1.5, 127.5, 255.0, -255.0, 254.5]),
    st.floats(-2, 2, width=32),
    st.floats(-(2.0**100), 2.0**100, width=32),
)
MATRICES = arrays(np.float32, (3, 4), elements=FACTORS)
IMAGES = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40).map(lambda s: (*s, 3)))
# Where the compiler of Pillow may fuse a multiplication with an addition, a sum near a half can
# fall on its other side.
FUSED = 0 if platform.machine().lower() in ("x86_64", "amd64") else 1


def by_pillow(image, colours):
    matrix = tuple(colours.ravel().tolist())
    return np.asarray(Image.fromarray(image).convert("RGB", matrix)).astype(int)


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


@given(IMAGES, MATRICES)
def test_colours_become_what_pillow_makes_of_them(image, colours):
    assert np.abs(recolour(image, colours) - by_pillow(image, colours)).max() <= FUSED


def test_every_drawn_distortion_is_pillows_on_every_level():
    image = np.random.default_rng(0).integers(0, 256, (61, 67, 3), dtype=np.uint8)
    image[:3, :, :] = np.arange(3 * 67).reshape(3, 67, 1)
    image[3, :55, :] = np.arange(201, 256).reshape(55, 1)
    for colours in drawn(100, grey=0.1, sepia=0.1):
        assert np.abs(recolour(image, colours) - by_pillow(image, colours)).max() <= FUSED


def test_a_half_is_rounded_up_and_what_is_beyond_a_byte_is_clipped():
    image = np.array([[[0, 1, 2], [253, 254, 255]]], np.uint8)
    half, twice = np.eye(3, 4, dtype=np.float32), np.eye(3, 4, dtype=np.float32)
    half[:, 3], twice[:, :3] = 0.5, -2 * np.eye(3)
    np.testing.assert_array_equal(recolour(image, half), [[[1, 2, 3], [254, 255, 255]]])
    np.testing.assert_array_equal(recolour(image, twice), np.zeros_like(image))


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 5, 3), (5, 0, 3), (1, 1, 3)])
def test_a_patch_may_be_empty_or_a_pixel(shape):
    image = np.full(shape, 7, np.uint8)
    recoloured = recolour(image, np.eye(3, 4, dtype=np.float32))
    assert recoloured.dtype == np.uint8
    np.testing.assert_array_equal(recoloured, image)


def test_parts_of_a_photo_that_must_not_be_written_to_are_read_where_they_lie():
    photo = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    photo.setflags(write=False)
    before, (colours,) = photo.copy(), drawn(1)
    parts = [photo[3:40, 5:21], photo[::-1, ::2], photo.transpose(1, 0, 2), photo[..., ::-1]]
    for part in parts:
        recoloured = recolour(part, colours)
        np.testing.assert_array_equal(recoloured, recolour(part.copy(), colours))
        assert not np.shares_memory(recoloured, photo)
    np.testing.assert_array_equal(photo, before)


ANSWER = """
import hashlib
import numpy as np
from s3fd import _arrays
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (101, 103, 3), dtype=np.uint8)
matrices = [rng.normal(0, 1, (3, 4)) * [1, 1, 1, 100] for _ in range(50)]
whole = b"".join(_arrays.recolour(image, matrix).tobytes() for matrix in matrices)
print(hashlib.sha256(whole).hexdigest())
"""


def test_all_instruction_sets_give_the_same_bits():
    answers = set()
    for instruction_set in ("", "generic", "avx2"):
        environment = {**os.environ, "S3FD_INSTRUCTION_SET": instruction_set}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        answers.add(subprocess.check_output([sys.executable, "-c", ANSWER], env=environment))
    assert len(answers) == 1
