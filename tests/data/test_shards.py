"""Training photos in shards: what is packed is what comes out."""

import tarfile
from dataclasses import replace
from json import dumps

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset

from s3fd.data import read_photos, shards
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


class Names(IterableDataset):
    """What each of the photos is called, in a worker."""

    def __init__(self, shards):
        self.shards = shards

    def __iter__(self):
        return (photo.name for photo in read_shards(self.shards))


def test_workers_of_a_loader_get_what_they_ask_for(photos, tmp_path):
    shards = write_shards(photos, tmp_path / "shards", photos_per_shard=2)
    names = [photo.name for photo in read_shards(shards)]
    loader = DataLoader(Names(shards), batch_size=None, num_workers=2)
    assert sorted(loader) == sorted(2 * names)


def test_each_process_of_several_gets_what_it_asks_for(photos, tmp_path, monkeypatch):
    shards = write_shards(photos, tmp_path / "shards", photos_per_shard=2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert len(list(read_shards(shards))) == len(photos)


@pytest.mark.parametrize("folder", ["{0..3}", "a::b", "a#b", "a?b", "a%20b", "c:d"])
def test_the_name_of_a_shard_is_no_pattern(photos, tmp_path, monkeypatch, folder):
    shards = write_shards(photos, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    for shard in (shards[0], str(shards[0]), shards[0].relative_to(tmp_path)):
        assert len(list(read_shards([shard]))) == len(photos)


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


def test_shards_of_an_earlier_call_are_not_mixed_with_new_ones(photos, tmp_path):
    earlier = write_shards(photos, tmp_path, split="train", photos_per_shard=2)
    before = [shard.read_bytes() for shard in earlier]
    with pytest.raises(ValueError, match=r"folder: .* has shards already, such as train-000000"):
        write_shards(photos[:2], tmp_path, split="train", photos_per_shard=2)
    assert [shard.read_bytes() for shard in earlier] == before
    write_shards(photos, tmp_path, split="val")  # of other names


def test_a_shard_that_is_cut_short_is_named(photos, tmp_path):
    (shard,) = write_shards(photos, tmp_path / "shards")
    shard.write_bytes(shard.read_bytes()[:1500])
    with pytest.raises(ValueError, match=r"shards: .*photos-000000\.tar"):
        list(read_shards([shard]))


def test_a_shard_that_ends_between_two_photos_lacks_some(photos, tmp_path):
    (shard,) = write_shards(photos[:3], tmp_path / "shards")
    whole = shard.read_bytes()
    (begin,) = (at for at in range(0, len(whole), 512) if whole[at:].startswith(b"00000001.faces"))
    for damaged in (whole[:begin], whole[:begin] + b"\xff" + whole[begin + 1 :]):
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"photos-000000\.tar is damaged.* 1 of its 3 photos"):
            list(read_shards([shard]))


def test_splits_are_unpacked_beside_each_other(photos, tmp_path):
    train = write_shards(photos[:2], tmp_path / "shards", split="train")
    val = write_shards(photos[:1], tmp_path / "shards", split="val")
    local = tmp_path / "local"
    assert unpack_shards([*train, *val], local) == 3
    unpacked = [read_photos(local, split=split).photos for split in ("train", "val")]
    assert [len(part) for part in unpacked] == [2, 1]
    for before, after in zip([*photos[:2], photos[0]], [*unpacked[0], *unpacked[1]], strict=True):
        assert after.path.read_bytes() == before.path.read_bytes()
        np.testing.assert_array_equal(after.boxes, before.boxes)


def test_two_photos_of_one_name_are_an_error_that_leaves_no_labels(photos, tmp_path):
    (shard,) = write_shards(photos, tmp_path / "shards")
    unpack_shards([shard], tmp_path / "local")
    with pytest.raises(ValueError, match=r"two photos are called 'images/00000000-x\.jpg'"):
        unpack_shards([shard, shard], tmp_path / "local")
    assert not (tmp_path / "local" / "annotations.json").exists()


@pytest.mark.parametrize("content", ['{"images": []}', '{"unpacked": false, "images": []}', ""])
def test_labels_that_no_call_has_written_stay(photos, tmp_path, content):
    labels = tmp_path / "local" / "annotations.json"
    labels.parent.mkdir()
    labels.write_text(content)
    for some in (write_shards(photos, tmp_path / "shards"), [tmp_path / "nothing.tar"]):
        with pytest.raises(ValueError, match=r"folder: .*local has labels of its own in annot"):
            unpack_shards(some, labels.parent)
    assert labels.read_text() == content
    assert list(labels.parent.iterdir()) == [labels]


def test_labels_of_an_earlier_call_are_replaced_when_a_shard_is_open(photos, tmp_path):
    local = tmp_path / "local"
    unpack_shards(write_shards(photos, tmp_path / "first"), local)
    before = (local / "annotations.json").read_bytes()
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing\.tar"):
        unpack_shards([tmp_path / "nothing.tar"], local)
    assert (local / "annotations.json").read_bytes() == before
    unpack_shards(write_shards(photos[:2], tmp_path / "second"), local)
    assert len(read_photos(local).photos) == 2


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\0b", "\ud800", "x" * 256, 5])
@pytest.mark.parametrize("key", ["name", "split"])
def test_names_that_would_leave_the_folder_are_refused(photos, tmp_path, monkeypatch, name, key):
    monkeypatch.setattr(shards.json, "dumps", lambda labels: dumps({**labels, key: name}))
    (shard,) = write_shards(photos[:1], tmp_path / "shards")
    with pytest.raises(
        ValueError, match=r"tar is damaged, .*(the name of a file, got|not allowed)"
    ):
        unpack_shards([shard], tmp_path / "local")


def test_the_end_of_a_long_name_stays(photos, tmp_path):
    path = tmp_path / f"{'x' * 250}.png"
    path.write_bytes(photos[0].path.read_bytes())
    (shard,) = write_shards([replace(photos[0], path=path)], tmp_path / "shards")
    unpack_shards([shard], tmp_path / "local")
    (unpacked,) = read_photos(tmp_path / "local").photos
    assert unpacked.path.suffix == ".png"


def test_an_empty_archive_is_no_shard(tmp_path):
    tarfile.open(tmp_path / "empty.tar", "w").close()
    with pytest.raises(ValueError, match=r"empty\.tar is damaged, .*: it has no photos"):
        list(read_shards([tmp_path / "empty.tar"]))


def test_what_is_no_shard_is_named(tmp_path):
    (tmp_path / "notes.tar").write_bytes(b"no archive" * 100)
    with pytest.raises(ValueError, match=r"shards: .*notes\.tar"):
        list(read_shards([tmp_path / "notes.tar"]))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*gone\.tar"):
        list(read_shards([tmp_path / "gone.tar"]))


def test_a_shard_holds_a_photo_at_least(photos, tmp_path):
    with pytest.raises(ValueError, match="photos_per_shard: expected at least 1, got 0"):
        write_shards(photos, tmp_path, photos_per_shard=0)
