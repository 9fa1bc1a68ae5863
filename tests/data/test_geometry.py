"""Wherever a face goes, its box goes with it, and nothing that is seen of it is background."""

from contextlib import contextmanager
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3fd.data import AnnotatedImage, Augmentation, augmentation
from s3fd.data.augmentation import Sample
from s3fd.data.drawing import PatchDrawing, PhotoReader
from s3fd.data.face_sizes import FaceSizes
from s3fd.data.patches import Patch
from s3fd.data.photo import OpenPhoto
from s3fd.data.sized_drawing import SizedDrawing
from s3fd.images.resize import resized

NONE = np.zeros((0, 4), np.float32)
RED, BLUE = (255, 0, 0), (0, 0, 255)

# Of a photo: its size, and two faces that do not touch, each as left, top, width and height.
SIZES = st.tuples(st.integers(40, 400), st.integers(40, 400))
SHARES = st.tuples(*[st.floats(0, 1)] * 8)
SEEDS = st.integers(0, 1 << 30)
_SMALLEST = 8


def marked(size, shares, *, round_faces=False, known=True):
    """A blue photo with two red faces, one in its upper left and one in its lower right quarter."""
    width, height = size
    pixels = np.full((height, width, 3), BLUE, np.uint8)
    rows, columns = np.mgrid[:height, :width] + 0.5
    boxes = []
    for quarter in (0, 1):
        x, y, across, down = shares[4 * quarter : 4 * quarter + 4]
        face_width, face_height = (
            round(_SMALLEST + share * (side / 2 - 12))
            for share, side in ((across, width), (down, height))
        )
        left = quarter * (width // 2 + 1) + round(x * (width // 2 - 1 - face_width))
        top = quarter * (height // 2 + 1) + round(y * (height // 2 - 1 - face_height))
        right, bottom = left + face_width, top + face_height
        inside = (columns > left) & (columns < right) & (rows > top) & (rows < bottom)
        if round_faces:
            middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
            away = ((columns - middle_x) / face_width) ** 2
            inside &= away + ((rows - middle_y) / face_height) ** 2 <= 0.25
        pixels[inside] = RED
        boxes.append([left, top, right, bottom])
    boxes = np.array(boxes, np.float32)
    labels = (boxes, NONE) if known else (NONE, boxes)
    return AnnotatedImage(f"{width} x {height}", width, height, *labels), pixels


def opened(annotated, pixels):
    """The photo, decoded at a half, a quarter or an eighth of its size as a JPEG is."""

    def decode(scale):
        part = next((part for part in (8, 4, 2) if scale <= 1 / part), 1)
        return resized(pixels, -(-pixels.shape[0] // part), -(-pixels.shape[1] // part))

    return OpenPhoto(annotated, annotated.width, annotated.height, "photo", decode)


def is_red(image):
    """Not so is what lies beyond a photo, and is grey."""
    red, green, blue = np.moveaxis(image, -1, 0)
    return (red > blue) & (green < 64)


def assert_what_is_red_is_labelled(sample, within=2, *, turned=False):
    """Each red pixel lies in a face or an ignore box, and each face is red, but for its edges.

    Corners are left out, for enlarged ones are round. Of a turned photo the second is left out, and
    half a pixel of the smallest face is allowed for, which has steps instead of a round edge.
    """
    size = len(sample.image)
    red, centres = is_red(sample.image), np.arange(size) + 0.5
    unknown = red.copy()
    for x1, y1, x2, y2 in np.concatenate([sample.boxes, sample.ignore]):
        near = within + (max(x2 - x1, y2 - y1) / 2 / _SMALLEST if turned else 0)
        across = (centres > x1 - near) & (centres < x2 + near)
        unknown &= ~(across & ((centres > y1 - near) & (centres < y2 + near))[:, None])
    assert not unknown.any(), np.argwhere(unknown)
    for x1, y1, x2, y2 in () if turned else sample.boxes:
        across = abs(centres - (x1 + x2) / 2) / max((x2 - x1) / 2 - within, 1e-9)
        down = abs(centres - (y1 + y2) / 2) / max((y2 - y1) / 2 - within, 1e-9)
        assert red[across**2 + down[:, None] ** 2 < 1].all()


@given(size=SIZES, shares=SHARES, corner=st.tuples(*[st.floats(0, 1)] * 2),
       part=st.floats(0.1, 3), side=st.integers(32, 200), mirror=st.booleans(),
       known=st.booleans())  # fmt: skip
def test_boxes_lie_where_their_pixels_are_after_a_crop(
    size, shares, corner, part, side, mirror, known
):
    annotated, pixels = marked(size, shares, known=known)
    length = part * max(size)
    least = min(2 + 2 * length / side, *size)  # of the photo is seen
    x, y = (
        least - length + share * (edge + length - 2 * least)
        for share, edge in zip(corner, size, strict=True)
    )
    sample = augmentation.crop(
        opened(annotated, pixels), Patch(x, y, length), side,
        beyond="mirror" if mirror else BLUE,
    )  # fmt: skip
    assert sample.image.shape == (side, side, 3)
    assert_what_is_red_is_labelled(sample)


@given(size=SIZES, shares=SHARES, turns=st.integers(0, 3), mirrored=st.booleans())
def test_boxes_lie_where_their_pixels_are_after_a_mirror_and_quarter_turns(
    size, shares, turns, mirrored
):
    annotated, pixels = marked(size, shares)
    side = min(size)
    tile = augmentation.crop(opened(annotated, pixels), Patch(0, 0, side), side)
    tile = augmentation.flip(tile) if mirrored else tile
    assert_what_is_red_is_labelled(augmentation.quarter_turn(tile, turns), within=0)


@given(size=SIZES, shares=SHARES, degrees=st.floats(-30, 30), mirror=st.booleans())
def test_a_face_that_nobody_learns_stays_ignored_when_it_turns(size, shares, degrees, mirror):
    annotated, pixels = marked(size, shares, known=False)
    side = 96
    outer = augmentation.rotated_side(side, degrees)
    tile = augmentation.crop(
        opened(annotated, pixels), Patch(-10, -10, max(size)), outer,
        beyond="mirror" if mirror else BLUE, all_boxes=True,
    )  # fmt: skip
    assert_what_is_red_is_labelled(augmentation.rotate(tile, degrees, side))


def drawn(kind, photos, recipe, seed, size=192):
    """An image of the marked photos, whose grounds and edges are blue."""
    by_path = {annotated.path: (annotated, pixels) for annotated, pixels in photos}

    @contextmanager
    def open_photo(annotated):
        yield opened(*by_path[annotated.path])

    def blue(size, rng):
        return Sample(np.full((size, size, 3), BLUE, np.uint8), NONE, NONE)

    labelled = [annotated for annotated, _ in photos]
    with (
        patch.object(augmentation, "plain", blue),
        patch.object(augmentation, "spotted", lambda ground, rng: ground),
        patch.object(SizedDrawing, "_beyond", _mirror_or_blue),
    ):
        rng, reader = np.random.default_rng(seed), PhotoReader(open_photo)
        if kind is PatchDrawing:
            return PatchDrawing(labelled, recipe, rng, size, reader).sample(labelled[0])
        without = [photo for photo in labelled if not len(photo.boxes)]
        sizes = FaceSizes([photo.boxes for photo in labelled])
        return SizedDrawing(labelled, sizes, None, without, recipe, rng, size, reader).sample()


def _mirror_or_blue(drawing):
    return "mirror" if drawing.rng.random() < 0.5 else BLUE


PATHS = {
    "patches": (PatchDrawing, {}),
    "anchor sampling": (PatchDrawing, {"anchor_sampling": 1.0}),
    "face patches": (PatchDrawing, {"crop": "face"}),
    "whole photos": (PatchDrawing, {"crop": "photo"}),
    "collages": (PatchDrawing, {"collage": (0.4, 0.3, 0.3)}),
    "plain grounds": (PatchDrawing, {"plain": 1.0}),
    "sizes": (SizedDrawing, {}),
    "small sizes": (SizedDrawing, {"face_sizes": (6.0, 16.0)}),
    "cut faces": (SizedDrawing, {"cut": 1.0}),
    "quarter turns": (SizedDrawing, {"quarter_turns": 1.0}),
    "turned photos": (SizedDrawing, {"rotate": 1.0}),
    "photos without a face": (SizedDrawing, {"empty": 1.0}),
    "on a plain ground": (SizedDrawing, {"plain": 1.0}),
    "on another photo": (SizedDrawing, {"background": 1.0}),
}


@pytest.mark.parametrize("path", PATHS)
@given(sizes=st.lists(SIZES, min_size=2, max_size=2), shares=SHARES, seed=SEEDS)
def test_boxes_lie_where_their_pixels_are_in_every_kind_of_training_image(
    path, sizes, shares, seed
):
    kind, settings = PATHS[path]
    recipe = Augmentation(**{"crop": "size" if kind is SizedDrawing else "patch", **settings},
                          colour=False)  # fmt: skip
    turned = path == "turned photos"
    photos = [marked(size, shares, round_faces=turned, known=known)
              for size, known in zip(sizes, (True, False), strict=True)]  # fmt: skip
    sample = drawn(kind, photos, recipe, seed)
    assert_what_is_red_is_labelled(sample, turned=turned)


@pytest.mark.parametrize("kind", ["patch", "face", "photo"])
def test_sepia_is_for_every_crop(kind):
    photos = [marked((64, 48), (0.2, 0.2, 0.6, 0.6) * 2)]
    recipes = (Augmentation(crop=kind, grey=0.0, sepia=share) for share in (0.0, 1.0))
    plain, sepia = (drawn(PatchDrawing, photos, recipe, 3).image for recipe in recipes)
    assert (plain != sepia).any()


def test_a_run_without_collages_lays_one_patch_on_a_plain_ground():
    """Faces of 8 px that seldom stay large enough: then another patch is taken."""
    photos = [marked((400, 300), (0.0,) * 8), marked((96, 96), (1.0,) * 8)]
    for seed in range(60):
        sample = drawn(PatchDrawing, photos, Augmentation(plain=1.0), seed)
        assert 1 <= len(sample.boxes) <= 2
        assert len(sample.boxes) + len(sample.ignore) <= 2
