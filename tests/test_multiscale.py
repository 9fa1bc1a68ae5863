"""The paper's test-time protocol: which scales there are, what counts on each, how it is merged."""

import math

import numpy as np
import pytest
import torch
from marks import FindsMarks
from PIL import Image

from s3fd import Detections, FaceDetector
from s3fd.models import pretrained_path
from s3fd.multiscale import Pass, largest_scale, merge_passes, plan_passes
from s3fd.network import Network
from s3fd.ops.reference import vote_boxes as vote_boxes_twin
from s3fd.scaled_image import ScaledImage

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"
PALETTE = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


class FindsColours(FindsMarks):
    """Finds the pixels of each colour, with the score that it has."""

    def __init__(self, **scores):
        super().__init__()
        self.scores = scores

    def marks(self, image):
        for colour, score in self.scores.items():
            wanted = torch.tensor(PALETTE[colour]).view(3, 1, 1)
            mask = (image - wanted).abs().amax(dim=0) < 128
            yield mask, math.log(score / (1 - score))


def picture(width, height, **boxes):
    pixels = np.zeros((height, width, 3), np.uint8)
    for colour, (x1, y1, x2, y2) in boxes.items():
        pixels[y1:y2, x1:x2] = PALETTE[colour]
    return pixels


def detector(**scores):
    return FaceDetector(FindsColours(**scores), device="cpu")


def found(boxes, scores, size=(400, 400)):
    return Detections(torch.tensor(boxes).float().reshape(-1, 4), torch.tensor(scores), size)


def scales(largest):
    return [look.scale for look in plan_passes(largest)]


def test_an_image_is_seen_as_it_is_mirrored_halved_and_enlarged_up_to_the_limit():
    assert scales(5.5) == [1, 1, 0.5, 2, 4, 5.5]
    assert scales(4) == [1, 1, 0.5, 2, 4]
    assert scales(2) == [1, 1, 0.5, 2]
    assert scales(1.4) == [1, 1, 0.5, 1.4]
    assert [look.mirrored for look in plan_passes(3)] == [False, True, False, False, False]


def test_an_image_that_can_not_be_enlarged_is_seen_at_two_smaller_scales():
    assert scales(1) == [1, 1, 0.5, 0.75]
    assert scales(0.8) == [0.8, 0.8, 0.5, pytest.approx(0.65)]
    assert scales(0.4) == [0.4, 0.4, 0.2, pytest.approx(0.3)]


def test_shrunk_images_are_for_large_faces_and_enlarged_ones_for_small_faces():
    def limits(largest):
        return [(look.larger_than, look.smaller_than) for look in plan_passes(largest)]

    every, large, small = (0, math.inf), (30, math.inf), (0, 100)
    assert limits(5) == [every, every, large, small, small, small]
    assert limits(0.6) == [every, every, large, large]


def test_the_longest_side_makes_a_face_large_and_the_shortest_makes_it_small():
    boxes = [[0, 0, 20, 30], [0, 0, 20, 31], [0, 0, 99, 200], [0, 0, 100, 200]]
    seen = found(boxes, [0.9, 0.8, 0.7, 0.6])
    torch.testing.assert_close(Pass(0.5, larger_than=30).keep(seen).boxes, seen.boxes[1:])
    torch.testing.assert_close(Pass(2, smaller_than=100).keep(seen).boxes, seen.boxes[:3])


@pytest.mark.parametrize("size", [(300, 400), (1, 1), (37, 911), (5000, 4000)])
@pytest.mark.parametrize("max_pixels", [10_000, 3_721_806])
def test_no_scale_has_more_pixels_than_allowed(size, max_pixels):
    pixels = np.broadcast_to(np.uint8(0), (*size, 3))
    for look in plan_passes(largest_scale(size, max_pixels)):
        height, width = look.scaled(pixels).scaled_size
        assert 1 <= height * width <= max_pixels


@pytest.mark.parametrize("scale", [1, 0.5, 2, 3.3])
def test_mirroring_a_mirrored_image_gives_its_boxes_back(scale):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (31, 57, 3), np.uint8)
    look, mirror = Pass(scale).scaled(pixels), Pass(scale, mirrored=True).scaled(pixels)
    np.testing.assert_array_equal(mirror.pixels(), look.pixels()[:, ::-1])
    height, width = look.scaled_size
    boxes = torch.tensor([[0, 0, width, height], [1.25, 2, 7.5, 9], [0, 3, 0.5, 4]])
    mirrored = torch.stack(
        [width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], dim=1
    )
    torch.testing.assert_close(mirror.to_original(mirrored), look.to_original(boxes))
    assert mirror.to_original(boxes)[0].tolist() == [0, 0, 57, 31]


def test_boxes_of_a_scaled_image_come_back_to_its_own_pixels():
    image = ScaledImage(np.zeros((10, 20, 3), np.uint8), (20, 40), (10, 20))
    assert image.to_original(torch.tensor([[2.0, 4, 40, 20]])).tolist() == [[1, 2, 20, 10]]


def test_passes_are_merged_as_the_twin_of_vote_boxes_says():
    torch.manual_seed(0)
    passes = []
    for _ in range(5):
        corners = torch.rand(40, 2) * 300
        boxes = torch.cat([corners, corners + 20 + 60 * torch.rand(40, 2)], dim=1)
        passes.append(found(boxes.tolist(), torch.rand(40).tolist()))
    boxes, scores = (torch.cat([getattr(p, name) for p in passes]) for name in ("boxes", "scores"))
    for keep_single in (True, False):
        merged = merge_passes(passes, iou_threshold=0.3, keep_single=keep_single)
        expected = vote_boxes_twin(boxes, scores, 0.3, keep_single=keep_single)
        torch.testing.assert_close((merged.boxes, merged.scores), expected)


def test_the_750_best_are_kept():
    boxes = [[10 * i, 0, 10 * i + 9, 9] for i in range(800)]
    merged = merge_passes(
        [found(boxes, torch.linspace(0.1, 0.9, 800).tolist())], iou_threshold=0.3, keep_single=True
    )
    assert len(merged) == 750
    assert merged.scores.min() > 0.1


def test_a_face_that_every_pass_sees_is_found_once_where_it_is():
    box = (40, 36, 88, 92)
    seen = detector(red=0.9).detect_multiscale(picture(200, 120, red=box), max_pixels=100_000)
    torch.testing.assert_close(seen.boxes, torch.tensor([box]).float(), atol=0.6, rtol=0)
    assert seen.image_size == (120, 200)


def test_a_small_face_is_not_taken_from_the_shrunk_image_nor_a_large_one_from_the_enlarged():
    boxes = {"red": (20, 20, 40, 44), "blue": (120, 40, 260, 200)}
    network = FindsColours(red=0.9, blue=0.8)
    looks = Network(network, torch.device("cpu"), "float32")
    pixels = picture(300, 240, **boxes)
    kept = {}
    for look in plan_passes(3):
        image = look.scaled(pixels)
        (seen,) = looks.find([image], 0.05, 0.3, batch_size=1)
        assert len(seen) == 2
        kept[look.scale, look.mirrored] = look.keep(seen)
        for box in boxes.values():
            error = (seen.boxes - torch.tensor(box)).abs().amax(dim=1).min()
            assert error <= 1.1
    assert [len(k) for k in kept.values()] == [2, 2, 1, 1, 1]
    assert kept[0.5, False].boxes[0, 2] > 200
    assert kept[2.0, False].boxes[0, 2] < 50


def test_what_one_pass_alone_has_seen_can_be_dropped_as_the_authors_do():
    class FindsInMirrorsAlone(FindsColours):
        """The right half of an image is all that this one looks at."""

        def forward(self, x):
            return super().forward(torch.where(torch.arange(x.shape[3]) < x.shape[3] // 2, 0, x))

    pixels = picture(256, 256, red=(40, 100, 80, 140))  # on the right of the mirror image alone
    looks = FaceDetector(FindsInMirrorsAlone(red=0.9), device="cpu")
    assert len(looks.detect_multiscale(pixels, max_pixels=256**2)) == 1
    assert len(looks.detect_multiscale(pixels, max_pixels=256**2, keep_single=False)) == 0


def test_a_higher_threshold_drops_faces_and_changes_none():
    """From 0.05 on, the score of what takes part in the vote."""
    looks = FaceDetector.from_pretrained("light", device="cpu")
    sharp = Image.open(ASTRONAUT).resize((192, 192))
    image = Image.new("RGB", (384, 192))
    image.paste(sharp)
    image.paste(sharp.resize((40, 40)).resize((192, 192)), (192, 0))
    options = {"max_pixels": 384 * 192}
    many = looks.detect_multiscale(image, score_threshold=0.05, **options)
    between = (many.scores.max() + many.scores.min()).item() / 2
    few = looks.detect_multiscale(image, score_threshold=between, **options)
    assert 0 < len(few) < len(many)
    kept = many.scores >= between
    torch.testing.assert_close((few.boxes, few.scores), (many.boxes[kept], many.scores[kept]))


def test_an_image_shares_a_batch_with_its_mirror_image_and_with_images_of_its_size():
    looks = detector(red=0.9)
    looks.detect_multiscale([picture(64, 64)] * 3, max_pixels=64 * 64 * 4, batch_size=8)
    in_all = [shape[0] for shape in looks.model.batches if shape[3] == 64]
    assert in_all == [4, 2]  # six, and no more together than max_pixels allows
    assert looks.model.batches.count((3, 3, 32, 32)) == 1
    assert looks.model.batches.count((1, 3, 128, 128)) == 3


def test_a_large_image_is_shrunk_to_the_cap():
    looks = detector(red=0.9)
    box = (400, 300, 800, 740)
    seen = looks.detect_multiscale(picture(1600, 1200, red=box), max_pixels=120_000)
    assert max(h * w for _, _, h, w in looks.model.batches) <= 1.2 * 120_000
    torch.testing.assert_close(seen.boxes, torch.tensor([box]).float(), atol=9, rtol=0)


def test_smaller_faces_than_asked_for_are_dropped_and_no_scale_is_made_for_them():
    looks = detector(red=0.9, blue=0.9)
    pixels = picture(200, 160, red=(10, 10, 26, 28), blue=(60, 40, 110, 100))
    seen = looks.detect_multiscale(pixels, min_face=32, max_pixels=300_000)
    assert len(seen) == 1
    assert max(max(shape[2:]) for shape in looks.model.batches) <= 128


def test_an_image_gives_its_detections_and_a_list_gives_a_list():
    looks = detector(red=0.9)
    image = picture(64, 48, red=(8, 8, 40, 40))
    options = {"max_pixels": 20_000}
    alone = looks.detect_multiscale(image, **options)
    assert isinstance(alone, Detections)
    assert looks.detect_multiscale([], **options) == []
    mixed = looks.detect_multiscale([picture(90, 30), image, picture(64, 48)], **options)
    assert [len(m) for m in mixed] == [0, 1, 0]
    assert mixed[1] == alone


@pytest.mark.parametrize("size", [(1, 1), (2, 500)])
def test_the_tiniest_images_work(size):
    assert len(detector(red=0.9).detect_multiscale(picture(*size), max_pixels=50_000)) == 0


def test_the_astronaut_is_found_once():
    looks = FaceDetector.from_pretrained("light", device="cpu")
    plain = looks(ASTRONAUT)
    several = looks.detect_multiscale(ASTRONAUT, max_pixels=500_000)
    assert len(several) == 1
    torch.testing.assert_close(several.boxes, plain.boxes, atol=8, rtol=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_pixels": 0}, ValueError, "max_pixels: expected an integer >= 1"),
        ({"max_pixels": 1.5}, TypeError, "max_pixels"),
        ({"score_threshold": 2}, ValueError, "score_threshold"),
        ({"iou_threshold": -1}, ValueError, "iou_threshold"),
        ({"min_face": -1}, ValueError, "min_face"),
        ({"batch_size": 0}, ValueError, "batch_size"),
    ],
)
def test_bad_arguments_are_named(options, error, message):
    with pytest.raises(error, match=message):
        detector().detect_multiscale(picture(9, 9), **options)


def test_a_picture_that_can_not_be_read_is_named():
    with pytest.raises(FileNotFoundError, match=r"images\[1\]: gone\.jpg"):
        detector().detect_multiscale([picture(9, 9), "gone.jpg"])
