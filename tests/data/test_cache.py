import json
import multiprocessing
import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image

from s3fd.data import Augmentation, PhotoCache, TrainingBatches
from s3fd.data import cache as cache_module
from s3fd.data.annotations import AnnotatedImage
from s3fd.data.photo import decode_photo, open_photo
from s3fd.files import lock
from s3fd.images import ImageError

NONE = np.zeros((0, 4), np.float32)


def picture(width, height, seed=0):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels)


def annotated(path, boxes=NONE, size=None):
    return AnnotatedImage(path, *(size or (None, None)), np.asarray(boxes, np.float32), NONE)


@pytest.fixture
def photo(tmp_path):
    picture(200, 120).save(tmp_path / "a.png")
    return annotated(tmp_path / "a.png", [[10, 10, 50, 60]], (200, 120))


def test_a_photo_of_the_cache_is_that_of_the_file(tmp_path, photo):
    cache = PhotoCache(tmp_path / "cache")
    cache.add([photo])
    with cache.open(photo) as cached, open_photo(photo) as opened:
        assert (cached.width, cached.height) == (opened.width, opened.height)
        assert (cached.boxes == opened.boxes).all()
        assert (cached.decode(1.0) == opened.decode(1.0)).all()


@pytest.mark.parametrize(
    ("scale", "shape"),
    [(1.0, (120, 200)), (0.51, (120, 200)), (0.5, (60, 100)), (0.3, (60, 100)), (0.01, (30, 50))],
)
def test_the_smallest_copy_that_is_large_enough_is_given(tmp_path, photo, scale, shape):
    cache = PhotoCache(tmp_path / "cache")
    cache.add([photo])
    with cache.open(photo) as cached:
        assert cached.decode(scale).shape == (*shape, 3)


def test_large_photos_are_kept_no_larger_than_asked(tmp_path, photo):
    cache = PhotoCache(tmp_path / "cache", max_side=100)
    cache.add([photo])
    with cache.open(photo) as cached:
        assert (cached.width, cached.height) == (200, 120)  # labels are in its own pixels
        assert cached.decode(1.0).shape == (60, 100, 3)


def test_a_cache_is_found_again_and_completed(tmp_path, photo):
    PhotoCache(tmp_path / "cache").add([photo])
    picture(80, 90, seed=1).save(tmp_path / "b.png")
    other = annotated(tmp_path / "b.png")
    again = PhotoCache(tmp_path / "cache")
    before = (tmp_path / "cache" / "pixels.bin").read_bytes()
    again.add([photo, other, other], workers=2)
    assert len(again) == 2
    assert (tmp_path / "cache" / "pixels.bin").read_bytes().startswith(before)
    for each in (photo, other):
        with again.open(each) as cached, open_photo(each) as opened:
            assert (cached.decode(1.0) == opened.decode(1.0)).all()


def test_a_photo_that_has_changed_is_decoded_anew(tmp_path, photo):
    cache = PhotoCache(tmp_path / "cache")
    cache.add([photo])
    picture(200, 120, seed=7).save(photo.path)
    cache.add([photo])
    with cache.open(photo) as cached, open_photo(photo) as opened:
        assert (cached.decode(1.0) == opened.decode(1.0)).all()


def test_a_photo_that_changes_while_it_is_decoded_is_decoded_anew(tmp_path, photo, monkeypatch):
    def changes(*arguments):
        pixels = decode_photo(*arguments)
        picture(200, 120, seed=7).save(photo.path, compress_level=1)
        return pixels

    cache = PhotoCache(tmp_path / "cache")
    monkeypatch.setattr("s3fd.data.cache.decode_photo", changes)
    cache.add([photo])
    monkeypatch.undo()
    cache.add([photo])
    with cache.open(photo) as cached, open_photo(photo) as opened:
        assert (cached.decode(1.0) == opened.decode(1.0)).all()


def test_what_an_interrupted_call_has_left_does_not_disturb(tmp_path, photo):
    PhotoCache(tmp_path / "cache").add([photo])
    with (tmp_path / "cache" / "pixels.bin").open("ab") as file:
        file.write(b"half a photo")
    picture(70, 70, seed=3).save(tmp_path / "c.png")
    other = annotated(tmp_path / "c.png")
    cache = PhotoCache(tmp_path / "cache")
    cache.add([other])
    with cache.open(other) as cached, open_photo(other) as opened:
        assert (cached.decode(1.0) == opened.decode(1.0)).all()


def test_an_unreadable_photo_says_why_whenever_it_is_opened(tmp_path, photo):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    bad, missing = annotated(tmp_path / "bad.jpg"), annotated(tmp_path / "missing.jpg")
    cache = PhotoCache(tmp_path / "cache")
    cache.add([bad, photo, missing])
    for each, reason in ((bad, "not a picture"), (missing, "no such file")):
        with pytest.raises(ImageError, match=reason), cache.open(each):
            pass


def test_a_photo_that_could_not_be_read_is_tried_again(tmp_path, photo, monkeypatch):
    def fails(*arguments):
        raise ImageError("its decoder is not installed")

    monkeypatch.setattr(cache_module, "open_file", fails)
    PhotoCache(tmp_path / "cache").add([photo])
    monkeypatch.undo()
    cache = PhotoCache(tmp_path / "cache")
    with pytest.raises(ImageError, match="decoder is not installed"), cache.open(photo):
        pass
    cache.add([photo])
    with cache.open(photo) as cached, open_photo(photo) as opened:
        assert (cached.decode(1.0) == opened.decode(1.0)).all()


def assert_all_are_there(folder, photos):
    cache = PhotoCache(folder)
    assert len(cache) == len(photos)
    for each in photos:
        with cache.open(each) as cached, open_photo(each) as opened:
            assert (cached.decode(1.0) == opened.decode(1.0)).all()


def test_those_who_add_to_one_folder_wait_for_each_other(tmp_path, monkeypatch):
    photos = []
    for seed in range(6):
        picture(64 + seed, 64, seed).save(tmp_path / f"{seed}.png")
        photos.append(annotated(tmp_path / f"{seed}.png"))
    decoded, said = [], []
    first_waits, second_waits = threading.Event(), threading.Event()
    decode = cache_module._decode

    def slowly(path, max_side):
        decoded.append(path)
        if len(decoded) == 2:
            first_waits.set()
            assert second_waits.wait(60)
        return decode(path, max_side)

    def says(message):
        said.append(message)
        second_waits.set()

    monkeypatch.setattr(cache_module, "_decode", slowly)
    folder = tmp_path / "cache"
    first, second = PhotoCache(folder), PhotoCache(folder)
    thread = threading.Thread(target=first.add, args=(photos[:4],))
    thread.start()
    assert first_waits.wait(60)
    second.add(photos[2:], say=says)
    thread.join()
    assert len(decoded) == 6  # what the first has added, the second takes as it is
    assert said == [f"waiting for another process that adds photos to the cache {folder}"]
    assert len(second) == 6
    assert_all_are_there(folder, photos)


def _hangs(path, max_side):
    (cache_module.Path(path).parent / "worker").write_text(str(os.getpid()))
    time.sleep(600)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs processes that are forked"
)
def test_workers_of_a_process_that_was_killed_do_not_keep_the_lock(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(cache_module, "_decode", _hangs)
    forked = multiprocessing.get_context("fork")
    adds = forked.Process(
        target=PhotoCache(tmp_path / "cache").add, args=([photo],), kwargs={"workers": 1}
    )
    adds.start()
    worker = tmp_path / "worker"
    while not (worker.exists() and worker.read_text()):
        time.sleep(0.01)
        assert adds.is_alive()
    adds.kill()
    adds.join()
    orphan = int(worker.read_text())
    os.kill(orphan, 0)  # it is there
    try:
        with (tmp_path / "cache" / "pixels.bin").open("ab") as file:
            assert lock(file)
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_photo_that_was_not_added_is_named(tmp_path, photo):
    with (
        pytest.raises(ImageError, match=r"a\.png: not in the cache"),
        PhotoCache(tmp_path / "cache").open(photo),
    ):
        pass


@pytest.mark.parametrize("index", ["", "{}", '{"version": 99}', "[1, 2]"])
def test_a_folder_with_something_else_is_refused(tmp_path, index):
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(ValueError, match="is no index of a cache"):
        PhotoCache(tmp_path)


def test_a_cache_of_another_size_is_refused(tmp_path, photo):
    PhotoCache(tmp_path / "cache", max_side=100).add([photo])
    with pytest.raises(ValueError, match="at most 100 pixels, not 1024"):
        PhotoCache(tmp_path / "cache")


def test_an_exif_orientation_is_followed(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    picture(60, 100).save(tmp_path / "turned.jpg", exif=exif)
    photo = annotated(tmp_path / "turned.jpg", size=(100, 60))
    cache = PhotoCache(tmp_path / "cache")
    cache.add([photo])
    with cache.open(photo) as cached:
        assert cached.decode(1.0).shape == (60, 100, 3)


def test_worker_processes_map_the_file_themselves(tmp_path, photo):
    cache = PhotoCache(tmp_path / "cache")
    cache.add([photo])
    with cache.open(photo) as cached:
        pixels = cached.decode(1.0)
    copy = pickle.loads(pickle.dumps(cache))
    assert len(pickle.dumps(copy)) < 2000
    with copy.open(photo) as cached:
        assert (cached.decode(1.0) == pixels).all()


def test_batches_from_a_cache_hold_the_same_faces(tmp_path):
    for name in "abcd":
        picture(64, 64, seed=ord(name)).save(tmp_path / f"{name}.png")
    photos = [annotated(tmp_path / f"{name}.png", [[8, 8, 40, 48]]) for name in "abcd"]
    cache = PhotoCache(tmp_path / "cache")
    cache.add(photos)
    settings = {"steps": 3, "batch_size": 4, "input_size": 64, "seed": 5,
                "augmentation": Augmentation(crop="photo", colour=False)}  # fmt: skip
    plain = TrainingBatches(photos, **settings)
    cached = TrainingBatches(photos, **settings, open_photo=cache.open)
    for step in range(3):
        assert (plain[step].images == cached[step].images).all()
        assert (plain[step].boxes == cached[step].boxes).all()


def test_a_damaged_cache_is_refused_by_name(tmp_path, photo):
    folder = tmp_path / "cache"
    PhotoCache(folder).add([photo])
    index, pixels = folder / "index.json", folder / "pixels.bin"
    whole = json.loads(index.read_text())
    name, row = next(iter(whole["photos"].items()))
    for odd in (
        [*row[:2], -1, *row[3:]], [*row[:3], [], ""], [*row[:3], [[0, 9]], ""], row[:4], 7,
        [row[0], [float("inf"), 1], *row[2:]],
    ):  # fmt: skip
        index.write_text(json.dumps({**whole, "photos": {name: odd}}))
        with pytest.raises(ValueError, match=r"index\.json is no index"):
            PhotoCache(folder)
    index.write_text(json.dumps(whole))
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"pixels\.bin is cut short"):
        PhotoCache(folder)
