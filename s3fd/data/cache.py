"""Decoded photos in one memory-mapped file, so that an epoch decodes nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from s3fd.data.annotations import AnnotatedImage
from s3fd.data.formats.text import MALFORMED
from s3fd.data.photo import OpenPhoto, decode_photo, upright_size
from s3fd.files import lock, naming, whole_file
from s3fd.images import ImageError, UInt8Array, open_file
from s3fd.images.resize import resized
from s3fd.messages import shown

_PIXELS, _INDEX = "pixels.bin", "index.json"
_VERSION = 1
# The smallest of the halved copies has a longer side of at least this.
_SMALLEST = 48
_PHOTOS_BETWEEN_SAVES = 2000


class _Entry(NamedTuple):
    """Where a photo lies: one row of the index."""

    file: tuple[int, int]  # bytes and time of the photo's file, which tell whether it has changed
    size: tuple[int, int]  # width and height of the photo
    offset: int  # of its first copy
    copies: tuple[tuple[int, int], ...]  # width and height of each
    error: str  # why it can't be read


class PhotoCache:
    """Photos as pixels: each at its size, or shrunk to `max_side`, and halved again and again.

    A training image is cut out of the copy that is just large enough: no photo is decoded, and no
    more than four times the pixels of the result are read. All processes share the pages.

    Args:
        folder: holds ``pixels.bin`` and ``index.json``.
        max_side: longest side of the largest copy, in pixels.

    Raises:
        ValueError: the folder holds a cache of another `max_side`, or something else.
    """

    def __init__(self, folder: str | Path, *, max_side: int = 1024) -> None:
        if max_side < _SMALLEST:
            raise ValueError(f"max_side: expected at least {_SMALLEST}, got {max_side}")
        self.folder = Path(folder)
        self.max_side = max_side
        self._entries: dict[str, _Entry]
        self._pixels: np.memmap[Any, np.dtype[np.uint8]] | None
        self._reload()

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self,
        photos: Sequence[AnnotatedImage],
        *,
        workers: int = 0,
        progress: Callable[[int, int], object] | None = None,
        say: Callable[[str], object] | None = None,
    ) -> None:
        """Decodes the photos that are not there yet, or whose files have changed.

        What was decoded stays if this is interrupted. A photo that can't be read is kept as the
        reason why, and tried again by the next call. One process at a time adds to a folder, and
        others wait for it, where the file system knows locks.

        Args:
            photos: any number.
            workers: processes that decode; 0: this one does.
            progress: is told how many of how many are done, now and then.
            say: is told if another process has to be waited for.

        Raises:
            OSError: the folder can't be written, such as for lack of space; the message names it.
        """
        if not self._missing(photos):
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        pixels = self.folder / _PIXELS
        with naming(pixels), pixels.open("ab") as file:
            if not lock(file):
                if say is not None:
                    say(f"waiting for another process that adds photos to the cache {self.folder}")
                lock(file, wait=True)
            self._reload()  # others may have added photos
            self._append(file, self._missing(photos), workers, progress)

    def _missing(self, photos: Sequence[AnnotatedImage]) -> list[str]:
        missing = [str(photo.path) for photo in photos if not self._is_fresh(photo)]
        return list(dict.fromkeys(missing))

    def _append(
        self,
        file: IO[bytes],
        missing: Sequence[str],
        workers: int,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        """Writes photos behind the others, and then the index, now and then."""
        decode = partial(_decode, max_side=self.max_side)
        end = max((self._end(entry) for entry in self._entries.values()), default=0)
        file.truncate(end)  # what an interrupted call has written after its last save
        file.seek(end)
        for count, (path, decoded) in enumerate(_map(decode, missing, workers, file), 1):
            self._entries[path] = _Entry(
                decoded.file, decoded.size, file.tell(), decoded.sizes(), decoded.error
            )
            for copy in decoded.copies:
                file.write(copy.data)
            if count % _PHOTOS_BETWEEN_SAVES == 0 or count == len(missing):
                file.flush()
                os.fsync(file.fileno())
                self._write()
            if progress is not None and (count % 100 == 0 or count == len(missing)):
                progress(count, len(missing))

    @contextmanager
    def open(self, annotated: AnnotatedImage) -> Iterator[OpenPhoto]:
        """A photo of the cache, as `s3fd.data.photo.open_photo` opens its file.

        Raises:
            ImageError: it can't be read, has another size than its labels are for, or was not
                added.
        """
        name = str(annotated.path)
        entry = self._entries.get(name)
        if entry is None:
            raise ImageError(f"{name}: not in the cache {self.folder}; add it first")
        if entry.error:
            raise ImageError(entry.error)
        yield OpenPhoto(annotated, *entry.size, name, partial(self._copy, entry))

    def _copy(self, entry: _Entry, scale: float) -> UInt8Array:
        """The smallest copy of at least `scale` times the photo's size, or the largest there is."""
        offset, (width, height) = entry.offset, entry.copies[0]
        begin = offset
        for next_width, next_height in entry.copies[1:]:
            begin += 3 * width * height
            if next_width < entry.size[0] * scale:
                break
            offset, width, height = begin, next_width, next_height
        if self._pixels is None:  # in each process anew
            self._pixels = np.memmap(self.folder / _PIXELS, np.uint8, "r")
        flat = self._pixels[offset : offset + 3 * width * height]
        return flat.reshape(height, width, 3)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # a worker process maps the file itself

    def _is_fresh(self, photo: AnnotatedImage) -> bool:
        entry = self._entries.get(str(photo.path))
        if entry is None or entry.error:  # what it lacked may be there now, such as a decoder
            return False
        return entry.file == _file_stamp(str(photo.path))

    @staticmethod
    def _end(entry: _Entry) -> int:
        return entry.offset + 3 * sum(width * height for width, height in entry.copies)

    def _reload(self) -> None:
        self._entries, self._pixels = {}, None
        index = self.folder / _INDEX
        if index.is_file():
            self._read(index)

    def _read(self, index: Path) -> None:
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            if content["version"] != _VERSION:
                raise ValueError(f"version {content['version']}")
            max_side, rows = int(content["max_side"]), content["photos"].items()
            self._entries = {path: _entry(row) for path, row in rows}
        except MALFORMED as error:
            raise ValueError(
                f"cache: {index} is no index of a cache of this version ({shown(error)}); name "
                "another folder, or remove this one"
            ) from None
        pixels = self.folder / _PIXELS
        there = pixels.stat().st_size if pixels.is_file() else 0
        if there < max(map(self._end, self._entries.values()), default=0):
            raise ValueError(
                f"cache: {pixels} is cut short, or not the one of {index}; remove {self.folder}"
            )
        if max_side != self.max_side:
            raise ValueError(
                f"cache: {self.folder} holds photos of at most {max_side} pixels, not "
                f"{self.max_side}; name another folder, or remove this one"
            )

    def _write(self) -> None:
        content = {"version": _VERSION, "max_side": self.max_side, "photos": self._entries}
        with whole_file(self.folder / _INDEX, durable=True) as file:
            file.write(json.dumps(content).encode())


class _Decoded(NamedTuple):
    file: tuple[int, int]  # as it was before it was read: what has changed since is seen later
    size: tuple[int, int]
    copies: list[UInt8Array]
    error: str

    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((copy.shape[1], copy.shape[0]) for copy in self.copies)


def _entry(row: Any) -> _Entry:
    (length, time), (width, height), offset, copies, error = row
    copies = tuple((int(across), int(down)) for across, down in copies)
    least = min((int(offset), *(side - 1 for copy in copies for side in copy)))
    if least < 0 or not (error or (copies and width > 0 and height > 0)):
        raise ValueError(f"a photo of {shown(row)}")
    return _Entry(
        (int(length), int(time)), (int(width), int(height)), int(offset), copies, str(error)
    )


def _file_stamp(path: str) -> tuple[int, int]:
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns


def _map(
    function: Callable[[str], _Decoded], paths: Sequence[str], workers: int, locked: IO[bytes]
) -> Iterator[tuple[str, _Decoded]]:
    if not workers:
        yield from zip(paths, map(function, paths), strict=True)
        return
    # A worker outlives a process that is killed, and would keep the lock that it was forked with.
    inherited = [locked.fileno()] if multiprocessing.get_start_method() == "fork" else []
    with ProcessPoolExecutor(workers, initializer=_close, initargs=(inherited,)) as pool:
        for begin in range(0, len(paths), 256):  # results wait in memory: no more than these
            part = paths[begin : begin + 256]
            yield from zip(part, pool.map(function, part, chunksize=8), strict=True)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _decode(path: str, max_side: int) -> _Decoded:
    file = _file_stamp(path)
    try:
        image, name = open_file(path)
        with image:
            width, height = upright_size(image, name)
            scale = min(1.0, max_side / max(width, height))
            largest = decode_photo(image, name, scale)
    except (FileNotFoundError, ImageError) as error:
        return _Decoded(file, (0, 0), [], str(error))
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    copies = [_resized(largest, shape)]
    while max(shape) >= 2 * _SMALLEST:
        shape = (shape[0] + 1) // 2, (shape[1] + 1) // 2
        copies.append(_resized(copies[-1], shape))
    return _Decoded(file, (width, height), copies, "")


def _resized(image: UInt8Array, shape: tuple[int, int]) -> UInt8Array:
    if image.shape[:2] == shape:
        return np.ascontiguousarray(image)
    return resized(image, *shape)
