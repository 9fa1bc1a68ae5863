"""Closer looks: every small face is seen whole in one of them, and reported once."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import FindsMarks

from s3fd import Detections, FaceDetector
from s3fd.closer import CLOSEST, LARGEST, OVERLAP, TILE, close_factors, tiles

COLOURS = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)][1:]


class FindsSaturated(FindsMarks):
    """Finds the pixels of each of seven colours, on black."""

    def marks(self, image):
        for colour in COLOURS:
            wanted = torch.tensor(colour).view(3, 1, 1)
            yield (image - wanted).abs().amax(dim=0) < 100, 3.0


@pytest.fixture
def detector():
    return FaceDetector(FindsSaturated(), device="cpu", precision="float32")


def picture(width, height, boxes):
    pixels = np.zeros((height, width, 3), np.uint8)
    for colour, (x1, y1, x2, y2) in zip(COLOURS, boxes, strict=False):
        pixels[y1:y2, x1:x2] = colour
    return pixels


def assert_found(faces, boxes, within=1.0):
    """Each of the boxes once, and nothing else."""
    found, wanted = sorted(faces.boxes.tolist()), sorted([float(v) for v in box] for box in boxes)
    assert len(found) == len(wanted)
    np.testing.assert_allclose(found, wanted, atol=within)


@pytest.mark.parametrize("seed", range(3))
def test_small_faces_anywhere_are_found_once_and_large_ones_too(detector, seed):
    rng = np.random.default_rng(seed)
    boxes = []
    for side in (10, 12, 16, 24, 31, 120, 300):
        # Each in a column of its own, many of them across the borders of tiles.
        x, y = 320 * len(boxes) + int(rng.integers(0, 20)), int(rng.integers(0, 1400 - side))
        boxes.append((x, y, x + side, y + side))
    faces = detector(picture(2240, 1400, boxes), min_face=8)
    assert_found(faces, boxes, within=2.0)  # the whole is seen at less than half its size


def test_faces_across_the_borders_of_tiles_are_no_pairs_of_halves(detector):
    looks = list(tiles(np.zeros((400, 1500, 3), np.uint8), 2, (400, 1500)))
    borders = sorted({look.corner[1] for look in looks} - {0.0})
    borders += sorted({look.corner[1] + look.extent[1] for look in looks} - {1500.0})
    boxes = [(int(x) - 10, 100 + 40 * i, int(x) + 11, 121 + 40 * i) for i, x in enumerate(borders)]
    assert len(boxes) >= 4
    assert_found(detector(picture(1500, 400, boxes), min_face=8), boxes)


def test_a_small_image_is_enlarged_in_one_piece(detector):
    assert_found(detector(picture(300, 200, [(10, 20, 19, 29)]), min_face=8), [(10, 20, 19, 29)])
    assert [size[2:] for size in detector.model.batches] == [(224, 320), (416, 640)]


def test_a_wish_for_large_faces_shrinks_and_looks_once(detector):
    box = (100, 100, 260, 260)
    assert_found(detector(picture(1000, 800, [box]), min_face=64), [box], within=4)
    assert [size[2:] for size in detector.model.batches] == [(224, 256)]


def test_a_limit_of_the_size_does_not_hide_the_faces_that_are_wanted(detector):
    box = (1000, 500, 1032, 532)
    faces = detector(picture(2400, 1200, [box]), min_face=32, max_size=256)
    assert_found(faces, [box], within=2)


def test_smaller_faces_than_wanted_are_dropped(detector):
    boxes = [(10, 10, 16, 16), (100, 50, 112, 62)]
    assert_found(detector(picture(300, 200, boxes), min_face=8), boxes[1:])


def test_several_images_get_their_own_faces(detector):
    boxes = [[(10, 20, 22, 32)], [], [(900, 300, 912, 312), (40, 700, 60, 720)]]
    sizes = [(300, 200), (64, 48), (1400, 900)]
    images = [picture(*size, found) for size, found in zip(sizes, boxes, strict=True)]
    for faces, wanted in zip(detector(images, min_face=8, batch_size=2), boxes, strict=True):
        assert_found(faces, wanted)


def test_the_factors_leave_no_face_between_them():
    for closest in (0.3, 1.1, 2, 3.9, 4):
        for furthest in (0.05, 0.25, 1.0):
            for near, far in pairwise([*close_factors(closest, furthest), furthest]):
                assert LARGEST / near * far >= 16


def test_nothing_is_enlarged_without_end():
    assert close_factors(1e6, 1.0) == [CLOSEST]


@settings(deadline=None)
@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    factor=st.floats(0.2, CLOSEST),
    data=st.data(),
)
def test_every_small_face_is_whole_in_some_tile(height, width, factor, data):
    side = min(data.draw(st.floats(1, LARGEST - 1)) / factor, height, width)
    x = data.draw(st.floats(0, width - side))
    y = data.draw(st.floats(0, height - side))
    box = torch.tensor([[x, y, x + side, y + side]])
    counted = 0
    for tile in tiles(np.zeros((height, width, 3), np.uint8), factor, (height, width)):
        assert max(tile.scaled_size) <= TILE + 2 * factor + 2
        (top, left), (extent_y, extent_x) = tile.corner, tile.extent
        inside = torch.tensor([left, top, left + extent_x, top + extent_y])
        cut = torch.cat(
            [torch.maximum(box[0, :2], inside[:2]), torch.minimum(box[0, 2:], inside[2:])]
        )
        if (cut[2:] > cut[:2]).all():
            scaled = (cut - inside[:2].repeat(2)) / torch.tensor([extent_x, extent_y] * 2)
            scaled = scaled * torch.tensor([*tile.scaled_size[::-1]] * 2)
            back = tile.to_original(scaled[None])
            torch.testing.assert_close(back, cut[None], rtol=0, atol=1e-2)
            kept = len(tile.keep(Detections(back, torch.ones(1), (height, width))))
            assert not kept or torch.allclose(cut, box[0], atol=1e-2)
            counted += kept
    assert counted >= 1


@pytest.mark.parametrize("axis", [0, 1])
def test_a_face_at_the_border_of_a_shrunk_image_counts_whatever_is_rounded(axis):
    for original in (*range(700, 1100, 7), 1000):
        for shrunk in (*range(300, original, 41), 540):
            sides = [(64, 64), (64, 64)]
            sides[axis] = shrunk, original
            size, whole = zip(*sides, strict=True)
            looks = list(tiles(np.zeros((*size, 3), np.uint8), shrunk / original, whole))
            height, width = whole
            box = torch.tensor([[width - 20.0, height - 20.0, width, height]])
            assert len(looks[-1].keep(Detections(box, torch.ones(1), whole))) == 1


def test_tiles_overlap_by_more_than_a_face_that_counts():
    assert OVERLAP >= 2 * LARGEST
