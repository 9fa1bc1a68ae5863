import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from s3fd.data import AnnotatedImage, TrainingBatches, augmentation


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    photos = []
    for i in range(7):
        width, height = int(rng.integers(60, 120)), int(rng.integers(60, 120))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(
            folder / f"{i}.png"
        )
        boxes = np.array([[5, 5, 30, 40]] * (i % 3), np.float32).reshape(-1, 4)
        empty = np.zeros((0, 4), np.float32)
        photos.append(AnnotatedImage(folder / f"{i}.png", width, height, boxes, empty))
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
    )


def test_a_batch_depends_on_the_seed_and_the_step_alone(photos):
    forward = [batches(photos)[step] for step in range(12)]
    again = batches(photos)
    backward = [again[step] for step in reversed(range(12))][::-1]
    assert all(map(equal, forward, backward))
    assert not equal(forward[0], batches(photos, seed=6)[0])


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(photos, workers):
    loader = DataLoader(batches(photos), batch_size=None, num_workers=workers)
    for step, batch in enumerate(loader):
        assert equal(batch, batches(photos)[step])


def test_a_patch_without_a_face_is_never_shown_alone(photos, monkeypatch):
    made = []
    for name in ("collage", "place"):
        original = getattr(augmentation, name)
        monkeypatch.setattr(
            augmentation,
            name,
            lambda *args, name=name, original=original: made.append(name) or original(*args),
        )
    faceless = batches(photos[:1])  # photo 0 has no face
    samples = sum(len(faceless[step].counts) for step in range(12))
    assert len(made) == samples
    assert set(made) == {"collage", "place"}


def test_a_longer_run_begins_with_the_same_batches(photos):
    longer = batches(photos, steps=30)
    assert all(equal(longer[step], batches(photos)[step]) for step in range(12))


def test_every_epoch_shows_every_photo_once(photos):
    run = batches(photos, steps=20)
    for epoch in range(3):
        shown = {run._image(epoch * 7 + i).path for i in range(7)}
        assert len(shown) == 7


def test_batches_of_all_sizes_hold_about_as_many_pixels(photos):
    run = batches(photos, steps=200, batch_size=48)
    pixels = {
        run[step].images.shape[0] * run[step].images.shape[2] ** 2 for step in range(0, 200, 20)
    }
    assert max(pixels) < 1.1 * min(pixels)
    assert len({run[step].images.shape[2] for step in range(0, 200, 10)}) > 1


def test_boxes_and_counts_belong_together(photos):
    for step in range(12):
        batch = batches(photos)[step]
        assert len(batch.counts) == len(batch.images)
        assert sum(batch.counts) == len(batch.boxes)
        assert batch.images.dtype == torch.uint8
        size = batch.images.shape[-1]
        assert ((batch.boxes >= 0) & (batch.boxes <= size)).all()


@pytest.mark.parametrize("change", [{"input_size": 100}, {"input_size": 32}, {"batch_size": 0}])
def test_settings_that_cannot_be_are_named(photos, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        batches(photos, **change)
