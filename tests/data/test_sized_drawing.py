from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from s3fd.data import Augmentation, TrainingBatches, sized_drawing, wear
from s3fd.data.annotations import AnnotatedImage
from s3fd.data.augmentation import Sample, quarter_turn, rotate, rotated_side
from s3fd.data.face_sizes import FaceSizes

NONE = np.zeros((0, 4), np.float32)
PLAIN = {"colour": False, "flip": 0.0}


def face_photo(folder, name, side, face):
    """A black photo with a white face in the middle."""
    pixels = np.zeros((side, side, 3), np.uint8)
    first = (side - face) // 2
    pixels[first : first + face, first : first + face] = 255
    Image.fromarray(pixels).save(folder / name)
    box = np.array([[first, first, first + face, first + face]], np.float32)
    return AnnotatedImage(folder / name, side, side, box, NONE)


@pytest.fixture
def photos(tmp_path):
    made = [face_photo(tmp_path, f"{face}.png", 320, face) for face in (20, 45, 90, 200)]
    Image.new("RGB", (100, 80), (0, 0, 90)).save(tmp_path / "empty.png")
    return [*made, AnnotatedImage(tmp_path / "empty.png", 100, 80, NONE, NONE)]


def run(photos, **settings):
    return TrainingBatches(
        photos, steps=60, batch_size=8, input_size=256, seed=2,
        augmentation=Augmentation(crop="size", **PLAIN, **settings),
    )  # fmt: skip


def sizes(batches, steps):
    boxes = np.concatenate([batches[step].boxes.numpy() for step in range(steps)])
    return np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def test_faces_of_all_sizes_occur(photos):
    counts, _ = np.histogram(np.log2(sizes(run(photos), 40)), bins=[3, 4, 5, 6, 7, 8])
    assert (counts >= 15).all()


def test_the_wanted_sizes_are_kept_to(photos):
    found = sizes(run(photos, face_sizes=(30.0, 50.0)), 20)
    assert found.min() > 17  # a collage varies by a factor of up to 1.65
    assert found.max() < 84


def faces_of(batch):
    """The pixels of each face ``[3, H, W]``, but for its edges."""
    starts = np.cumsum([0, *batch.counts])
    for image, first, last in zip(batch.images, starts, starts[1:], strict=False):
        for x1, y1, x2, y2 in batch.boxes[first:last].round().int().tolist():
            if min(x2 - x1, y2 - y1) > 4:
                yield image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2]


def test_boxes_lie_on_their_faces(photos):
    faces = list(faces_of(run(photos, face_sizes=(40.0, 100.0))[0]))
    assert len(faces) > 4
    assert all(face.float().mean() > 225 for face in faces)


def test_every_image_has_a_face(photos):
    batches = run(photos, plain=0.2, background=0.2, rotate=0.5, quarter_turns=0.3)
    counts = [count for step in range(20) for count in batches[step].counts]
    assert np.mean(np.array(counts) > 0) > 0.97


def test_empty_images_have_no_face_and_are_plain_or_not(photos):
    batches = run(photos, empty=1.0)
    images = [batches[step] for step in range(10)]
    assert not any(sum(batch.counts) for batch in images)
    spread = torch.cat([batch.images.float().std(dim=(1, 2, 3)) for batch in images])
    assert 0.2 < (spread < 30).float().mean() < 0.8


@pytest.mark.parametrize("share", ["empty", "background", "plain"])
def test_letters_and_shapes_are_drawn_where_there_is_no_face(photos, monkeypatch, share):
    def black(ground, rng, typefaces):
        assert len(ground.boxes) == 0
        return replace(ground, image=np.zeros_like(ground.image))

    monkeypatch.setattr(sized_drawing, "with_graphics", black)
    batch = run(photos, face_sizes=(40.0, 60.0), graphics=1.0, **{share: 1.0})[0]
    pixels = batch.images.float().flatten(1)
    assert ((pixels == 0).float().mean(dim=1) > (0.99 if share == "empty" else 0.5)).all()
    assert all(face.float().mean() > 225 for face in faces_of(batch))
    bare = run(photos, face_sizes=(40.0, 60.0), **{share: 1.0})[0]
    assert ((bare.images == 0).float().mean(dim=(1, 2, 3)) < 0.99).any()


@pytest.mark.parametrize(
    ("share", "function"),
    [
        ("blur", "blur"),
        ("noise", "add_noise"),
        ("jpeg", "compress"),
        ("dark", "darken"),
        ("occlusion", "occlude"),
    ],
)
def test_every_kind_of_wear_is_seen_and_leaves_faces(photos, monkeypatch, share, function):
    def worn(image, *arguments):
        black = np.zeros_like(image)
        return (black, np.zeros(len(arguments[1]))) if function == "occlude" else black

    monkeypatch.setattr(wear, function, worn)
    faces = list(faces_of(run(photos, face_sizes=(40.0, 41.0), **{share: 1.0})[0]))
    assert len(faces) > 4
    assert not any(face.any() for face in faces)


def test_faces_under_what_covers_another_are_ignored(tmp_path, monkeypatch):
    Image.new("RGB", (100, 100)).save(tmp_path / "two.png")
    boxes = np.array([[20, 30, 50, 60], [52, 30, 82, 60]], np.float32)
    two = AnnotatedImage(tmp_path / "two.png", 100, 100, boxes, NONE)
    counts = {}
    for share in (0.5, 0.51):
        monkeypatch.setattr(
            wear, "occlude", lambda image, _, others, __, s=share: (image, np.full(len(others), s))
        )
        batch = run([two], face_sizes=(80.0, 81.0), occlusion=1.0)[0]
        counts[share] = (batch.counts, batch.ignore_counts)
    seen, ignored = counts[0.5]
    assert max(seen) == 2
    assert counts[0.51] == (
        [1] * len(seen),
        [more + count - 1 for more, count in zip(ignored, seen, strict=True)],
    )


def test_edges_cut_parts_off_faces(photos):
    shares = {}
    for cut in (0.0, 1.0):
        boxes = run(photos, face_sizes=(40.0, 41.0), cut=cut)[0].boxes
        width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
        shares[cut] = ((width / height).log().abs() > 0.15).float().mean()
    assert shares[0.0] < 0.2 < 0.7 < shares[1.0]


def test_a_set_in_which_every_photo_has_faces_will_do(photos):
    batch = run(photos[:4], background=0.5)[0]
    assert sum(batch.counts) > 0


def test_no_letters_lie_on_faces_where_every_photo_has_some(photos, monkeypatch):
    grounds = []

    def drawn(ground, rng, typefaces):
        grounds.append(ground)
        return replace(ground, image=np.zeros_like(ground.image))

    monkeypatch.setattr(sized_drawing, "with_graphics", drawn)
    batches = [run(photos[2:4], empty=1.0, graphics=1.0)[step] for step in range(3)]
    assert grounds
    assert not any(len(ground.boxes) for ground in grounds)
    faces = [face for batch in batches for face in faces_of(batch)]
    assert faces
    assert all(face.float().mean() > 100 for face in faces)


def test_distractors_are_shown_as_often_as_faces_are_not(tmp_path, photos):
    Image.new("RGB", (320, 320), (255, 0, 0)).save(tmp_path / "red.png")
    corner = np.array([[100, 100, 160, 160]], np.float32)
    red = AnnotatedImage(tmp_path / "red.png", 320, 320, NONE, NONE, corner)
    seen = {}
    for share in (0.0, 0.3, 1.0):
        batches = run([*photos, red], face_sizes=(40.0, 100.0), distractors=share)
        images = torch.cat([batches[step].images for step in range(10)]).float()
        redness = images[:, 0] - images[:, 1]
        seen[share] = (redness > 200).float().mean().item()
    assert seen[0.0] < 0.1 < seen[0.3] < 0.6 < seen[1.0]


def test_without_distractors_their_share_changes_nothing(photos):
    assert torch.equal(run(photos, distractors=0.9)[0].images, run(photos)[0].images)


def test_small_faces_are_enlarged_at_most_twice(photos):
    drawn = FaceSizes([photo.boxes for photo in photos])
    rng = np.random.default_rng(0)
    for target in (16.0, 60.0, 100.0, 150.0, 300.0):
        for _ in range(50):
            _, box = drawn.draw(target, rng)
            face = box[2] - box[0]
            if face < 64:
                assert target < 4 * face or face == 200


def test_each_octave_is_drawn_not_only_that_of_the_crowds(tmp_path):
    crowd = np.tile(np.array([[0, 0, 20, 20]], np.float32), (400, 1))
    photos = [AnnotatedImage(tmp_path / "crowd", 999, 999, crowd, NONE)]
    photos += [
        AnnotatedImage(tmp_path / str(n), 99, 99, np.array([[0, 0, 50, 50]], np.float32), NONE)
        for n in range(4)
    ]
    rng = np.random.default_rng(0)
    numbers = [FaceSizes([photo.boxes for photo in photos]).draw(20.0, rng)[0] for _ in range(100)]
    assert 10 < sum(number == 0 for number in numbers) < 60


@example(sides=[2, 400], target=12.0)
@given(sides=st.lists(st.integers(1, 900), min_size=1, max_size=3), target=st.floats(6, 500))
def test_a_face_is_drawn_for_every_size_whatever_sizes_there_are(sides, target):
    """Such as a set of portraits with one box of two pixels."""
    drawn = FaceSizes([np.array([[0, 0, side, side]], np.float32) for side in sides])
    number, box = drawn.draw(target, np.random.default_rng(0))
    assert box[2] == sides[number]


def spot(side, x, y, radius):
    """A white disc, and the box around it."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    inside = (columns - x) ** 2 + (rows - y) ** 2 < radius**2
    image = np.where(inside[:, :, None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    box = np.array([[x - radius, y - radius, x + radius, y + radius]], np.float32)
    return Sample(image, box, NONE)


def around(image):
    rows, columns = np.nonzero(image[:, :, 0] > 127)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("degrees", [-30.0, -7.5, 0.0, 12.0, 30.0])
def test_boxes_turn_with_the_photo(degrees):
    outer = rotated_side(100, degrees)
    turned = rotate(spot(outer, outer * 0.6, outer * 0.4, 15), degrees, 100)
    assert turned.image.shape == (100, 100, 3)
    np.testing.assert_allclose(turned.boxes[0], around(turned.image), atol=1.5)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_boxes_make_quarter_turns_with_the_photo(turns):
    turned = quarter_turn(spot(60, 20, 45, 10), turns)
    np.testing.assert_allclose(turned.boxes[0], around(turned.image), atol=1)


def test_a_turned_photo_has_no_empty_corners():
    outer = rotated_side(64, 30)
    white = Sample(np.full((outer, outer, 3), 255, np.uint8), NONE, NONE)
    assert rotate(white, 30, 64).image.min() == 255


def test_what_the_blur_hides_is_ignored(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "two.png")
    boxes = np.array([[20, 20, 120, 120], [180, 180, 190, 190]], np.float32)
    photo = AnnotatedImage(tmp_path / "two.png", 256, 256, boxes, NONE)
    seen = {True: 0, False: 0}
    for blur in (0.0, 1.0):
        batches = run([photo], face_sizes=(90.0, 110.0), blur=blur)
        for step in range(10):
            sides = batches[step].boxes[:, 2] - batches[step].boxes[:, 0]
            seen[blur > 0] += int((sides < 15).sum())
    assert 0 < 3 * seen[True] < seen[False]
