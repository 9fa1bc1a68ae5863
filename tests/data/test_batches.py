import numpy as np
import pytest
import torch
from PIL import Image

from s3fd.data import AnnotatedImage, Augmentation, TrainingBatches, augmentation

EMPTY = np.zeros((0, 4), np.float32)
RECIPES = {
    "paper": Augmentation(),
    "small": Augmentation.small_inputs(),
    "anchors": Augmentation(anchor_sampling=0.5, collage=(0.2,)),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder, rng, photos = tmp_path_factory.mktemp("photos"), np.random.default_rng(0), []
    for i, (width, height) in enumerate(rng.integers(60, 120, (7, 2)).tolist()):
        noise = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
        boxes = np.array([[5, 5, 30, 40]] * (i % 3), np.float32).reshape(-1, 4)
        photos.append(AnnotatedImage(folder / f"{i}.png", width, height, boxes, EMPTY))
    return photos


def batches(photos, **changes):
    settings = {"steps": 12, "batch_size": 6, "input_size": 64, "seed": 5, **changes}
    return TrainingBatches(photos, **settings)


def equal(a, b):
    return (
        torch.equal(a.images, b.images)
        and torch.equal(a.boxes, b.boxes)
        and torch.equal(a.ignore, b.ignore)
        and a.counts == b.counts
        and a.ignore_counts == b.ignore_counts
        and (a.tiny, a.skipped) == (b.tiny, b.skipped)
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_batch_depends_on_the_seed_and_the_step_alone(photos, recipe):
    def run(**changes):
        return batches(photos, augmentation=RECIPES[recipe], **changes)

    forward = [run()[step] for step in range(12)]
    again = run()
    backward = [again[step] for step in reversed(range(12))][::-1]
    assert all(map(equal, forward, backward))
    assert not equal(forward[0], run(seed=6)[0])
    longer = run(steps=30)
    assert all(equal(longer[step], forward[step]) for step in range(12))


def joined(shares):
    return (
        torch.cat([share.images for share in shares]),
        torch.cat([share.boxes for share in shares]),
        [count for share in shares for count in share.counts],
        torch.cat([share.ignore for share in shares]),
        [count for share in shares for count in share.ignore_counts],
    )


def same_rows(parts, whole):
    images, boxes, counts, ignore, ignore_counts = joined(parts)
    return (
        torch.equal(images, whole.images)
        and torch.equal(boxes, whole.boxes)
        and torch.equal(ignore, whole.ignore)
        and counts == whole.counts
        and ignore_counts == whole.ignore_counts
    )


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_shares_of_all_processes_are_the_batch_of_one(photos, world, recipe):
    settings = {"augmentation": RECIPES[recipe], "batch_size": 49}
    whole = batches(photos, **settings)
    ranks = [batches(photos, rank=rank, world=world, **settings) for rank in range(world)]
    for step in range(4):
        shares = [rank[step] for rank in ranks]
        assert same_rows(shares, whole[step])
        assert {share.whole for share in shares} == {len(whole[step].counts)}
        sizes = [len(share.counts) for share in shares]
        assert max(sizes) - min(sizes) <= 1


def test_a_batch_is_split_by_rows(photos):
    batch = batches(photos, augmentation=RECIPES["anchors"], batch_size=7)[0]
    for parts in (1, 2, 3, 7, 9):
        split = batch.split(parts)
        assert len(split) == min(parts, 7)
        assert same_rows(split, batch)
    with pytest.raises(ValueError, match="parts: expected at least 1, got 0"):
        batch.split(0)


def test_a_batch_moves_to_a_device_whole(photos):
    moved = batches(photos)[0].to("meta")
    assert {moved.images.device.type, moved.boxes.device.type, moved.ignore.device.type} == {"meta"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_epoch_shows_every_photo_that_can_be_used_once(photos, recipe):
    run = batches(photos, steps=20, augmentation=RECIPES[recipe])
    count = len(run.photos)
    assert count == (4 if recipe == "paper" else 7)  # without collages, those with faces
    for epoch in range(3):
        shown = {run._samples.photo(epoch * count + i).path for i in range(count)}
        assert len(shown) == count


def test_the_papers_recipe_shows_a_face_in_every_image(photos):
    run = batches(photos, input_size=96)
    assert all(count >= 1 for step in range(12) for count in run[step].counts)


def test_photos_whose_faces_are_all_too_small_end_in_images_all_the_same(photos):
    small = [AnnotatedImage(p.path, p.width, p.height, np.array([[5, 5, 6, 6]], np.float32), EMPTY)
             for p in photos[:2]]  # fmt: skip
    batch = batches(small)[0]
    assert batch.counts == [0] * 6


def test_with_collages_a_patch_without_a_face_is_never_shown_alone(photos, monkeypatch):
    made = []
    original = augmentation.collage
    monkeypatch.setattr(
        augmentation, "collage", lambda *args: made.append("collage") or original(*args)
    )
    run = batches(photos, augmentation=Augmentation(collage=(0.0001,)))
    faceless = sum(run._samples.photo(i).path.name in {"0.png", "3.png", "6.png"}
                   for i in range(run.samples))  # fmt: skip
    for step in range(12):
        run[step]
    assert len(made) >= faceless > 0


def test_batches_of_all_sizes_hold_about_as_many_pixels(photos):
    run = batches(photos, batch_size=48, augmentation=RECIPES["small"])
    shapes = {run[step].images.shape for step in range(8)}
    pixels = [count * size**2 for count, _, size, _ in shapes]
    assert max(pixels) < 1.1 * min(pixels)
    assert len(shapes) > 1


@pytest.mark.parametrize("recipe", RECIPES)
def test_boxes_and_counts_belong_together(photos, recipe):
    run = batches(photos, augmentation=RECIPES[recipe])
    for step in range(12):
        batch = run[step]
        assert len(batch.counts) == len(batch.images) == batch.whole
        assert sum(batch.counts) == len(batch.boxes)
        assert sum(batch.ignore_counts) == len(batch.ignore)
        assert batch.images.dtype == torch.uint8
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        size = batch.images.shape[-1]
        assert ((batch.boxes >= 0) & (batch.boxes <= size)).all()
        assert (batch.boxes[:, 2:] - batch.boxes[:, :2] >= 6).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": 100}, "input_size: expected a multiple of 32"),
        ({"input_size": 32}, "input_size: expected a multiple of 32"),
        ({"batch_size": 0}, "batch_size and steps: expected at least 1"),
        ({"rank": 2, "world": 2}, "rank: expected 0 to 1, got 2"),
        ({"world": 7}, "batch_size: some steps have 6 images, too few for 7 processes"),
    ],
)
def test_settings_that_cannot_be_are_named(photos, change, message):
    with pytest.raises(ValueError, match=message):
        batches(photos, **change)


def test_a_scale_that_is_never_drawn_asks_for_no_images(photos):
    recipe = Augmentation(scales=(1.0, 4.0), scale_shares=(1.0, 0.0))
    assert len(batches(photos, augmentation=recipe, world=3)[0].counts) == 2
    recipe = Augmentation(scales=(1.0, 4.0), scale_shares=(0.9, 0.1))
    with pytest.raises(ValueError, match="some steps have 2 images, too few for 3 processes"):
        batches(photos, augmentation=recipe, world=3)


def test_photos_without_any_face_are_refused(photos):
    with pytest.raises(ValueError, match="expected photos with faces, got 1 without any"):
        batches(photos[:1])
