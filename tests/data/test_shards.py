"""Training photos in shards: what is packed is what comes out."""

import numpy as np
import pytest
from PIL import Image

from s3fd.data import read_photos
from s3fd.data.annotations import AnnotatedImage
from s3fd.data.shards import read_shards, unpack_shards, write_shards

pytest.importorskip("webdataset", reason="needs webdataset: pip install 's3fd[shards]'")


@pytest.fixture
def photos(tmp_path):
    """Five photos; two of one name, one whose size the labels do not say."""
    made = []
    for number, name in enumerate(["a/x.jpg", "b/x.jpg", "a.b.c.png", "grey.webp", "last.jpg"]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60 + number, 40), (number * 40, 0, 0)).save(path)
        boxes = np.array([[1, 2, 21.5, 32]] * number, np.float32).reshape(-1, 4)
        ignore = np.array([[30, 2, 40, 12]], np.float32)
        size = (None, None) if name == "last.jpg" else (60 + number, 40)
        made.append(AnnotatedImage(path, *size, boxes, ignore))
    return made


def test_photos_stream_out_of_shards_as_they_went_in(photos, tmp_path):
    shards = write_shards(iter(photos), tmp_path / "shards", split="train", photos_per_shard=2)
    assert [shard.name for shard in shards] == [f"train-{n:06}.tar" for n in range(3)]
    streamed = list(read_shards(shards))
    assert len(streamed) == 5
    for number, (before, after) in enumerate(zip(photos, streamed, strict=True)):
        assert after.data == before.path.read_bytes()
        assert (after.width, after.height) == (60 + number, 40)
        np.testing.assert_array_equal(after.boxes, before.boxes)
        np.testing.assert_array_equal(after.ignore, before.ignore)
        assert after.split == "train"


def test_unpacked_shards_are_a_set_of_training_photos(photos, tmp_path):
    shards = write_shards(photos, tmp_path / "shards", split="train", photos_per_shard=3)
    assert unpack_shards(shards, tmp_path / "local") == 5
    unpacked = read_photos(tmp_path / "local", split="train").photos
    assert [photo.path.read_bytes() for photo in unpacked] == [p.path.read_bytes() for p in photos]
    for before, after in zip(photos, unpacked, strict=True):
        np.testing.assert_array_equal(after.boxes, before.boxes)


def test_the_same_photos_give_the_same_bytes(photos, tmp_path):
    (one,) = write_shards(photos, tmp_path / "one")
    (other,) = write_shards(photos, tmp_path / "other")
    assert one.read_bytes() == other.read_bytes()
    assert one.name == "photos-000000.tar"


def test_a_shard_that_is_cut_short_is_named(photos, tmp_path):
    (shard,) = write_shards(photos, tmp_path / "shards")
    shard.write_bytes(shard.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r"shards: .*photos-000000\.tar"):
        list(read_shards([shard]))


def test_what_is_no_shard_is_named(tmp_path):
    (tmp_path / "notes.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(ValueError, match=r"shards: .*notes\.tar"):
        list(read_shards([tmp_path / "notes.tar"]))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.tar"):
        list(read_shards([tmp_path / "gone.tar"]))


def test_a_shard_holds_a_photo_at_least(photos, tmp_path):
    with pytest.raises(ValueError, match="photos_per_shard: expected at least 1, got 0"):
        write_shards(photos, tmp_path, photos_per_shard=0)
