import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3fd.data.patches import (
    MIN_FACE,
    Patch,
    anchor_patch,
    cutting,
    face_patch,
    keeps_a_face,
    paper_patch,
    photo_patch,
)

NONE = np.zeros((0, 4), np.float32)
photos = st.tuples(st.integers(1, 300), st.integers(1, 300), st.tuples(*[st.floats(0, 1)] * 4))


def face_of(width, height, face):
    xs, ys = sorted(face[:2]), sorted(face[2:])
    return np.array([[xs[0] * width, ys[0] * height, xs[1] * width, ys[1] * height]], np.float32)


def lies_in(patch, width, height):
    x, y, side = patch
    return x >= -1e-6 and y >= -1e-6 and x + side <= width + 1e-3 and y + side <= height + 1e-3


@given(photo=photos, seed=st.integers(0, 10_000), kind=st.sampled_from(["paper", "face"]))
def test_a_patch_is_a_square_in_the_photo_of_a_third_of_its_short_side_or_more(photo, seed, kind):
    width, height, face = photo
    boxes, rng = face_of(width, height, face), np.random.default_rng(seed)
    if kind == "paper":
        patch = paper_patch(width, height, boxes, 64, rng)
    else:
        patch = face_patch(width, height, boxes, rng)
    short = min(width, height)
    assert 0.3 * short - 1e-6 <= patch.side <= short
    assert lies_in(patch, width, height)


def test_one_in_five_of_the_papers_patches_is_the_largest_and_the_others_have_any_size():
    rng = np.random.default_rng(0)
    sides = np.array([paper_patch(400, 300, NONE, 640, rng).side for _ in range(4000)])
    assert np.mean(sides == 300) == pytest.approx(0.2, abs=0.02)
    smaller = sides[sides < 300] / 300
    assert np.quantile(smaller, [0, 0.25, 0.5, 0.75, 1]) == pytest.approx(
        [0.3, 0.475, 0.65, 0.825, 1.0], abs=0.02
    )


def test_the_papers_patches_lie_anywhere_in_a_photo_without_a_face():
    rng = np.random.default_rng(0)
    patches = [paper_patch(400, 300, NONE, 640, rng) for _ in range(1000)]
    across = [x / (400 - side) for x, _, side in patches]
    assert np.quantile(across, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.06)


def test_the_papers_patches_keep_a_face_where_they_can():
    boxes, rng = np.array([[350, 20, 380, 60]], np.float32), np.random.default_rng(0)
    kept = [keeps_a_face(boxes, paper_patch(400, 300, boxes, 640, rng), 640) for _ in range(300)]
    assert np.mean(kept) > 0.97
    tiny = np.array([[350, 20, 351, 21]], np.float32)
    paper_patch(400, 300, tiny, 64, rng)  # no patch keeps it, and this ends all the same


def test_most_face_patches_hold_the_centre_of_a_face():
    boxes, rng = np.array([[350, 20, 380, 60]], np.float32), np.random.default_rng(0)
    patches = [face_patch(400, 300, boxes, rng) for _ in range(500)]
    held = [x <= 365 <= x + side and y <= 40 <= y + side for x, y, side in patches]
    assert np.mean(held) > 0.75


@given(photo=photos, seed=st.integers(0, 10_000))
def test_an_anchor_patch_holds_the_centre_of_its_face(photo, seed):
    width, height, face = photo
    boxes = face_of(width, height, face)
    x, y, side = anchor_patch(width, height, boxes, 640, np.random.default_rng(seed))
    centre = (boxes[0, :2] + boxes[0, 2:]) / 2
    assert x - 1e-2 <= centre[0] <= x + side + 1e-2
    assert y - 1e-2 <= centre[1] <= y + side + 1e-2


def test_anchor_patches_scale_a_face_to_all_anchors_up_to_the_next_larger_one():
    boxes, rng = np.array([[400, 300, 460, 368]], np.float32), np.random.default_rng(0)
    face = (60 * 68) ** 0.5  # nearest to the anchor of 64
    sizes = [640 * face / anchor_patch(1024, 768, boxes, 640, rng).side for _ in range(4000)]
    assert min(sizes) == pytest.approx(8, rel=0.05)
    assert max(sizes) == pytest.approx(256, rel=0.05)
    # Each of 16, 32, 64 and 128 is drawn as often, then halved to doubled evenly: below 16 lie
    # the lower third of the first, and nothing of the others.
    assert np.mean(np.array(sizes) < 16) == pytest.approx(1 / 4 / 3, abs=0.02)


def test_an_anchor_patch_that_is_larger_than_the_photo_holds_all_of_it():
    boxes, rng = np.array([[10, 10, 60, 60]], np.float32), np.random.default_rng(0)
    patches = [anchor_patch(80, 70, boxes, 640, rng) for _ in range(100)]
    larger = [patch for patch in patches if patch.side > 80]
    assert len(larger) > 50
    for x, y, side in larger:
        assert x <= 0 <= 80 <= x + side
        assert y <= 0 <= 70 <= y + side


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ([20, 20, 20 + MIN_FACE / 2, 30], True),
        ([20, 20, 20 + MIN_FACE / 2 - 0.01, 30], False),
        ([95, 20, 115, 40], True),  # its centre is on the patch: 105 of 110
        ([101, 20, 121, 40], False),
        ([-3, 20, 12, 40], False),
    ],
)
def test_a_face_is_kept_by_its_centre_and_its_size_after_the_scaling(box, kept):
    boxes = np.array([box], np.float32)
    assert keeps_a_face(boxes, Patch(10, 10, 100), 200) is kept


@pytest.mark.parametrize(
    ("width", "height", "side"), [(300, 200, 320), (200, 300, 320), (640, 480, 640), (320, 9, 320)]
)
def test_a_whole_photo_keeps_its_scale_if_it_fits_into_the_input(width, height, side):
    assert photo_patch(width, height, 320) == Patch(0, 0, side)


def test_an_edge_cuts_a_part_off_and_leaves_the_middle():
    rng = np.random.default_rng(0)
    face = np.array([100, 200, 140, 250], np.float32)
    edges = set()
    for _ in range(200):
        patch = cutting(Patch(90.0, 180.0, 80.0), face, rng)
        inside = face.clip([patch.x, patch.y] * 2, [patch.x + patch.side, patch.y + patch.side] * 2)
        left = (inside[2:] - inside[:2]) / (face[2:] - face[:2])
        assert 0.549 < left.min() < 0.851
        assert left.max() == 1.0
        edges.add(tuple(np.flatnonzero(inside != face)))
    assert edges == {(0,), (1,), (2,), (3,)}
