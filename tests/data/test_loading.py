import dataclasses
import os
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from s3fd.data import (
    Augmentation,
    CorruptPhotosError,
    TrainingBatches,
    load_batches,
    read_photos,
)

RECIPES = {
    "paper": Augmentation(),
    "small": Augmentation.small_inputs(),
    "anchors": Augmentation(anchor_sampling=1.0),
}


def batches(wider, **changes):
    settings = {"steps": 8, "batch_size": 4, "input_size": 64, "seed": 1, **changes}
    return TrainingBatches(read_photos(wider.root).photos, **settings)


def collected(run, **settings):
    said = []
    return list(load_batches(run, say=said.append, **settings)), said


def same(a, b):
    return all(
        getattr(a, name) == getattr(b, name)
        if not isinstance(getattr(a, name), torch.Tensor)
        else torch.equal(getattr(a, name), getattr(b, name))
        for name in ("images", "boxes", "counts", "ignore", "ignore_counts", "whole", "skipped")
    )


@pytest.mark.parametrize("recipe", RECIPES)
def test_batches_are_equal_with_0_1_and_2_workers_corrupt_photos_and_all(wider, recipe):
    run = batches(wider, augmentation=RECIPES[recipe])
    alone, said = collected(run)
    assert len(alone) == 8
    for workers in (1, 2):
        others, others_said = collected(run, workers=workers)
        assert all(map(same, alone, others))
        assert said == others_said
    assert any(batch.skipped for batch in alone)


def test_a_run_goes_on_from_any_step(wider):
    run = batches(wider)
    whole, _ = collected(run)
    rest, _ = collected(run, start=5, workers=1)
    assert all(map(same, whole[5:], rest))


def test_each_photo_that_cannot_be_read_is_named_once_with_its_reason(wider):
    _, said = collected(batches(wider, steps=20), workers=2)
    skipped = [message for message in said if "is skipped" in message]
    assert len(skipped) == len(wider.corrupt)
    for kind in wider.corrupt:
        (message,) = [message for message in skipped if str(wider.paths[kind]) in message]
        reason = {"missing": "no such file", "empty": "an empty file", "truncated": "damaged"}
        assert reason[kind] in message


def test_without_a_listener_photos_are_named_by_warnings(wider):
    with pytest.warns(UserWarning, match=r"a photo is skipped: .*truncated\.jpg: damaged"):
        list(load_batches(batches(wider, steps=20)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("share", "allowed"), [(0.0, 0), (0.1, 1), (0.24, 2)])
def test_more_corrupt_photos_than_the_share_are_an_error(wider, workers, share, allowed):
    run = batches(wider, steps=20)
    assert len(run.photos) == 12
    with pytest.raises(CorruptPhotosError, match=rf"[123] of 12 .* at most {allowed} may"):
        collected(run, workers=workers, corrupt_share=share)


def test_as_many_corrupt_photos_as_the_share_are_none(wider):
    assert len(collected(batches(wider, steps=20), corrupt_share=0.25)[0]) == 20


@pytest.mark.parametrize("workers", [0, 1])
def test_a_set_of_which_nothing_can_be_read_ends_in_one_line(wider, workers):
    photos = [photo for photo in read_photos(wider.root).photos
              if photo.path in [wider.paths[kind] for kind in wider.corrupt]]  # fmt: skip
    run = TrainingBatches(photos, steps=4, batch_size=2, input_size=64, seed=1)
    with pytest.raises(CorruptPhotosError, match=r"^100 photos in a row can't be read; .*\.jpg: "):
        collected(run, workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_that_share_the_steps_count_and_say_the_same(wider, workers):
    """Each of two takes its rows of every step; what they pass is given to both."""
    _, said_by_one = collected(batches(wider, steps=20))

    def run(rank, gather, **settings):
        part = batches(wider, steps=20, rank=rank, world=2)
        return collected(part, workers=workers, gather=gather, **settings)

    def passed_by(rank):
        passed = []
        run(rank, lambda own: passed.append(own) or [own])
        return passed

    def answer_to_all():
        answers = iter(pairs)
        return lambda _: list(next(answers))

    pairs = list(zip(passed_by(0), passed_by(1), strict=True))
    assert 1 < len(pairs) < 20
    for rank in (0, 1):
        assert sorted(run(rank, answer_to_all())[1]) == sorted(said_by_one)
        with pytest.raises(CorruptPhotosError, match=r"3 of 12 .* at most 2 may"):
            run(rank, answer_to_all(), corrupt_share=0.2)


def test_faces_that_are_too_small_are_counted_once(wider):
    boxes = np.array([[10, 10, 60, 60], [80, 40, 86, 46], [90, 40, 96, 46]], np.float32)
    photos = [dataclasses.replace(photo, boxes=boxes) for photo in read_photos(wider.root).photos]
    run = TrainingBatches(photos[:9], steps=20, batch_size=3, input_size=64, seed=1)
    shown, said = collected(run)
    (message,) = [message for message in said if "too small" in message]
    of_an_epoch = shown[:3]
    tiny = sum(batch.tiny for batch in of_an_epoch)
    faces = sum(sum(batch.counts) for batch in of_an_epoch)
    assert tiny > 0
    assert not any("too small" in message for message in collected(run, start=3)[1])
    assert f"of the first {faces + tiny} faces shown, {tiny} were too small" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"workers": -1}, "workers: expected"), ({"corrupt_share": 1.1}, "corrupt_share: expected"),
        ({"start": -1}, "start: expected 0 to the 8 steps"),
        ({"start": 9}, "start: expected 0 to the 8 steps of batches, got 9"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(wider, change, message):
    with pytest.raises(ValueError, match=message):
        next(load_batches(batches(wider), **change))


def test_the_batches_are_a_dataset_that_any_loader_takes(wider):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader = DataLoader(batches(wider), batch_size=None, num_workers=1)
        assert sum(len(batch.counts) for batch in loader) == 32


@pytest.mark.skipif(not hasattr(os, "nice"), reason="needs priorities of processes")
def test_workers_yield_where_they_are_told_to(wider, monkeypatch):
    run = batches(wider, steps=2)
    monkeypatch.setattr(type(run), "__getitem__", lambda self, step: _Priority(os.nice(0)))
    ours = os.nice(0)
    for low, expected in ((False, ours), (True, min(ours + 10, 19))):
        seen = load_batches(run, workers=1, low_priority=low, say=print)
        assert [batch.niceness for batch in seen] == [expected] * 2
    assert os.nice(0) == ours


@dataclasses.dataclass
class _Priority:
    """In place of a batch: the priority of the process that made it."""

    niceness: int
    counts: tuple[int, ...] = ()
    tiny: int = 0
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
