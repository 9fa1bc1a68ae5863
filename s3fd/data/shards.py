"""Training photos in shards of WebDataset: few large files, read from one end to the other.

Network disks are slow with many small files. `write_shards` packs labelled photos into tar
archives, `read_shards` streams them, and `unpack_shards` lays them out on a local disk.
Needs webdataset (``pip install 's3fd[shards]'``).
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from s3fd.data.annotations import AnnotatedImage, FloatArray, annotated_image
from s3fd.files import whole_file
from s3fd.images import read_image
from s3fd.messages import shown

__all__ = ["ShardPhoto", "read_shards", "unpack_shards", "write_shards"]

_LABELS = "faces.json"  # the end of a name in a shard
_LONGEST_NAME = 255  # bytes, on most disks
_UNPACKED = "unpacked"  # the first key of labels that `unpack_shards` writes: it may replace them


@dataclass(frozen=True)
class ShardPhoto:
    """A photo of a shard.

    Attributes:
        name: a number, and how its file was called.
        data: what its file held.
        width: in pixels, upright.
        height: likewise.
        boxes: float32 ``[N, 4]``, its faces.
        ignore: float32 ``[M, 4]``, regions of which nothing is known.
        split: that it is of; None where there are none.
    """

    name: str
    data: bytes
    width: int
    height: int
    boxes: FloatArray
    ignore: FloatArray
    split: str | None


def write_shards(
    photos: Iterable[AnnotatedImage],
    folder: str | Path,
    *,
    split: str | None = None,
    photos_per_shard: int = 1000,
) -> list[Path]:
    """Packs photos, as their files are, with their labels.

    Args:
        photos: for example those of `s3fd.data.read_photos`.
        folder: is made where it is not there; shards are called ``train-000000.tar``, after the
            split, or ``photos-000000.tar``.
        split: to note with each photo.
        photos_per_shard: 1 000 photos of WIDER FACE are about 130 MB.

    Returns:
        The shards. A shard appears when it is whole.

    Raises:
        ImportError: webdataset is not there.
        ValueError: a shard is to hold less than one photo, or the folder has shards of such names:
            those of other photos would be read with the new ones.
        FileNotFoundError, s3fd.images.ImageError: a photo can't be read.
    """
    webdataset = _webdataset()
    if photos_per_shard < 1:
        raise ValueError(f"photos_per_shard: expected at least 1, got {photos_per_shard}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    prefix = split or "photos"
    earlier = min(folder.glob(f"{glob.escape(prefix)}-*.tar"), default=None)
    if earlier is not None:
        raise ValueError(
            f"folder: {folder} has shards already, such as {earlier.name}; remove them, or name "
            "another folder"
        )
    shards: list[Path] = []
    numbered = enumerate(photos)
    while some := list(islice(numbered, photos_per_shard)):
        path = folder / f"{prefix}-{len(shards):06}.tar"
        with whole_file(path) as file, webdataset.TarWriter(file, mtime=0) as archive:
            for number, photo in some:
                archive.write(_sample(number, photo, split, together=len(some)))
        shards.append(path)
    return shards


def read_shards(shards: Sequence[str | Path]) -> Iterator[ShardPhoto]:
    """Streams the photos of shards, one shard after the other.

    Processes and workers of a ``DataLoader`` get all photos of the shards they ask for: give each
    its own.

    Args:
        shards: files, or whatever webdataset opens: ``https://…``, or ``pipe:…``, a command to run.
            Each is one shard, whatever its name.

    Raises:
        ImportError: webdataset is not there.
        FileNotFoundError: there is no such shard.
        ValueError: a shard is damaged, lacks photos, or was not written by `write_shards`; what
            stands before the damage comes first.
    """
    webdataset = _webdataset()
    for shard in shards:
        there, expected = 0, None
        try:
            # No WebDataset, which would share the samples of one shard out among workers, refuse to
            # work where there are several processes, and read names as patterns.
            url = str(Path(shard).absolute() if os.path.lexists(shard) else shard)
            for sample in webdataset.tarfile_samples([{"url": url}]):
                photo, expected = _photo(sample)
                there += 1
                yield photo
            if not there:
                raise ValueError("it has no photos")
            if there != expected:  # an archive that is cut between two files ends like any other
                raise ValueError(f"it has {there} of its {expected} photos")
        except FileNotFoundError:
            raise FileNotFoundError(f"shards: there is no file {shard}") from None
        except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
            raise ValueError(
                f"shards: {shard} is damaged, or none of write_shards: {error}"
            ) from error
        except Exception as error:  # tarfile has errors of its own
            raise ValueError(f"shards: {shard} can't be read: {error}") from error


def unpack_shards(shards: Sequence[str | Path], folder: str | Path) -> int:
    """Lays the photos of shards out in a folder that `s3fd.data.read_photos` reads.

    The labels come last: a folder that has them is whole. Those of an earlier call are replaced.
    Photos of a split have a folder of its name, so that shards of several splits can be unpacked
    together.

    Args:
        shards: as for `read_shards`.
        folder: on a fast local disk; is made where it is not there.

    Returns:
        The number of photos.

    Raises:
        ImportError, FileNotFoundError, ValueError: as `read_shards`; or two photos have one name,
            or the folder has an ``annotations.json`` that no earlier call has written.
    """
    labels = Path(folder, "annotations.json")
    if labels.exists() and not _is_unpacked(labels):
        raise ValueError(
            f"folder: {folder} has labels of its own in {labels.name}; name another folder, or "
            "move them"
        )
    entries: list[dict[str, Any]] = []
    names: set[str] = set()
    for photo in read_shards(shards):
        if not names:  # not before a shard is open
            labels.unlink(missing_ok=True)  # they would be those of other photos
        name = "/".join(filter(None, ("images", photo.split, photo.name)))
        if name in names:
            raise ValueError(
                f"shards: two photos are called {shown(name)}; unpack shards that were not written "
                "together into folders of their own"
            )
        names.add(name)
        path = labels.parent / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo.data)
        entry: dict[str, Any] = {"image": name}
        entry.update(width=photo.width, height=photo.height)
        entry.update(boxes=photo.boxes.tolist(), ignore=photo.ignore.tolist())
        if photo.split is not None:
            entry["split"] = photo.split
        entries.append(entry)
    with whole_file(labels) as file:
        file.write(json.dumps({_UNPACKED: True, "images": entries}).encode())
    return len(entries)


def _is_unpacked(labels: Path) -> bool:
    beginning = json.dumps({_UNPACKED: True})[:-1].encode()
    with labels.open("rb") as file:
        return file.read(len(beginning)) == beginning


def _sample(
    number: int, photo: AnnotatedImage, split: str | None, *, together: int
) -> dict[str, Any]:
    if photo.width is None or photo.height is None:
        height, width = read_image(photo.path).shape[:2]
    else:
        width, height = photo.width, photo.height
    end = os.fsdecode(os.fsencode(photo.path.name)[-_LONGEST_NAME + 9 :])
    labels = {
        "name": f"{number:08}-{end}",
        "width": width,
        "height": height,
        "boxes": photo.boxes.tolist(),
        "ignore": photo.ignore.tolist(),
        "split": split,
        "together": together,  # photos of this shard
    }
    # One key for all photos, whatever their suffix: dots in a name would end it.
    text = json.dumps(labels).encode()
    return {"__key__": f"{number:08}", "photo": photo.path.read_bytes(), _LABELS: text}


def _photo(sample: dict[str, Any]) -> tuple[ShardPhoto, int]:
    """A photo, and how many its shard has."""
    labels = json.loads(sample[_LABELS])
    name, split = labels["name"], labels["split"]
    for part in (name,) if split is None else (name, split):
        if not _is_file_name(part):
            raise ValueError(f"expected the name of a file, got {shown(part)}")
    size = (int(labels["width"]), int(labels["height"]))
    known = annotated_image(Path(name), labels["boxes"], ignore=labels["ignore"], size=size)
    photo = ShardPhoto(name, sample["photo"], *size, known.boxes, known.ignore, split)
    return photo, int(labels["together"])


def _is_file_name(value: object) -> bool:
    """Whether a file of this name lies in the folder that it is written to."""
    if not isinstance(value, str) or value in ("", ".", "..") or Path(value).name != value:
        return False
    written = os.fsencode(value)
    return b"\0" not in written and len(written) <= _LONGEST_NAME


def _webdataset() -> Any:
    try:
        import webdataset
    except ImportError:
        raise ImportError("s3fd.data.shards needs webdataset: pip install 's3fd[shards]'") from None
    return webdataset
