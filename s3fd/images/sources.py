"""Images one by one, out of photos, folders, globs, videos, cameras, and lists of all these."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from numbers import Integral
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from PIL import Image
from torch import Tensor

from s3fd.file_kinds import VIDEO_SUFFIXES
from s3fd.images.errors import ImageWarning
from s3fd.images.reading import (
    ChannelOrder,
    ImageLike,
    check_channel_order,
    is_file,
    is_image,
    read_image,
    read_open_file,
    read_scaled,
    scaled_pixels,
)
from s3fd.images.source import Source
from s3fd.images.types import Scaled, SizeOf, UInt8Array
from s3fd.images.video import Frame, read_camera, read_video
from s3fd.photos import Note, PhotoSearch, Problem
from s3fd.pipeline import read_ahead

ImageSource: TypeAlias = ImageLike | int | Iterable[ImageLike]
"""What `s3fd.FaceDetector.stream` takes."""

_EXPECTED = (
    "an image (a path, the bytes of a file, an open file, a PIL image, an array or a tensor)"
)
_LASTING = (Sequence, np.ndarray, Tensor)  # whose images stay as they are
_FRAMES_AHEAD = 8


@dataclass(frozen=True, eq=False)
class SourcedImage:
    """An image that is not decoded yet, and where it comes from.

    Attributes:
        source: where.
        image: itself, or what keeps it from being read.
        name: the argument to name in errors.
        channel_order: of an array or tensor.
        is_read: whether `image` is what `s3fd.images.read_image` gives, which nobody has to doubt
            (again): dark photos were told, and videos fade to black.
    """

    source: Source
    image: ImageLike | Exception
    name: str | None = None
    channel_order: ChannelOrder = "RGB"
    is_read: bool = False

    def read(self) -> UInt8Array:
        """Its pixels, as `s3fd.images.read_image` gives them, from any thread."""
        if self.is_read:
            return cast(UInt8Array, self.image)
        return read_image(self._there(), self.name, channel_order=self.channel_order)

    def read_scaled(self, size_of: SizeOf) -> Scaled:
        """Its pixels in another size, as `s3fd.images.read_scaled` gives them."""
        if self.is_read:
            return scaled_pixels(cast(UInt8Array, self.image), size_of)
        return read_scaled(self._there(), size_of, self.name, channel_order=self.channel_order)

    @property
    def weight(self) -> int:
        """The bytes that it takes while it waits to be read."""
        if isinstance(self.image, Tensor):
            return self.image.numel() * self.image.element_size()  # sparse ones have no nbytes
        if isinstance(self.image, np.ndarray):
            return self.image.nbytes
        return len(self.image) if isinstance(self.image, bytes | bytearray | memoryview) else 0

    def stripped(self) -> SourcedImage:
        """What is known of it when it has been read: where it came from."""
        return replace(self, image=b"", is_read=False)

    def _there(self) -> ImageLike:
        if isinstance(self.image, Exception):
            raise self.image
        return self.image


def is_single(images: object) -> bool:
    """Whether these are one image: neither a batch nor a collection.

    Raises:
        TypeError: they are no images at all.
    """
    if is_image(images):
        return not isinstance(images, np.ndarray | Tensor) or images.ndim != 4
    if isinstance(images, Iterable) and not isinstance(images, Mapping):
        return False
    raise TypeError(
        f"images: expected {_EXPECTED} or a list of images, got {type(images).__name__}"
    )


def given_images(
    images: ImageLike | Iterable[ImageLike], channel_order: ChannelOrder
) -> Iterator[SourcedImage]:
    """One image, or each of several, whatever they are.

    Raises:
        TypeError: they are no images at all.
    """
    check_channel_order(channel_order)
    if is_single(images):
        return iter([_claimed(0, images, "images", channel_order)])
    changing = not isinstance(images, _LASTING)
    return (
        _claimed(index, image, f"images[{index}]", channel_order, changing=changing)
        for index, image in enumerate(cast(Iterable[ImageLike], images))
    )


def stream_images(source: ImageSource, channel_order: ChannelOrder) -> Iterator[SourcedImage]:
    """The images that a user means; see `s3fd.FaceDetector.stream`.

    Raises:
        TypeError: the source is nothing of the kind.
    """
    check_channel_order(channel_order)
    numbers = count()
    if isinstance(source, Integral) and not isinstance(source, bool):
        return _frames(int(source), numbers)
    if isinstance(source, str | os.PathLike):
        return _files(source, numbers)
    if is_image(source) and is_single(source):
        return iter([_claimed(next(numbers), source, "source", channel_order)])
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        return _listed(source, numbers, channel_order)
    raise TypeError(
        f"source: expected {_EXPECTED}, a folder, a glob, a video, the number of a camera, or a "
        f"list or generator of images, got {type(source).__name__}"
    )


def _listed(
    images: Iterable[object], numbers: Iterator[int], channel_order: ChannelOrder
) -> Iterator[SourcedImage]:
    changing = not isinstance(images, _LASTING)
    for index, image in enumerate(images):
        if isinstance(image, str | os.PathLike):
            yield from _files(image, numbers)
        else:
            name = f"source[{index}]"
            yield _claimed(next(numbers), image, name, channel_order, changing=changing)


def _claimed(
    index: int,
    image: object,
    name: str,
    channel_order: ChannelOrder,
    *,
    changing: bool = False,
) -> SourcedImage:
    """An image that stays as it is, whatever its giver does next.

    Files are closed, PIL's images are not to be decoded by two threads, and a generator may give
    the same array again, with other pixels: such things are read or copied at once.
    """
    path: Path | None = None
    claimed, is_read = image, False
    try:
        if isinstance(image, str | os.PathLike):
            path = Path(image) if isinstance(os.fspath(image), str) else None
        elif isinstance(image, Image.Image):
            claimed, is_read = read_image(image, name), True
        elif is_file(image):
            claimed = read_open_file(image, name)
        elif changing and isinstance(image, np.ndarray):
            claimed = image.copy()
        elif changing and isinstance(image, Tensor):
            claimed = image.clone()
        elif changing and isinstance(image, bytearray | memoryview):
            claimed = bytes(image)
    except Exception as error:
        claimed = error
    source, claimed = Source(index, path), cast(ImageLike | Exception, claimed)
    return SourcedImage(source, claimed, name, channel_order, is_read)


def _files(given: str | os.PathLike[str], numbers: Iterator[int]) -> Iterator[SourcedImage]:
    """What a file, a folder or a glob holds."""
    path, there = Path(given), os.path.isfile(given)  # noqa: PTH113  # false for impossible names
    if there and path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _frames(path, numbers)
        return
    missing = not isinstance(given, str) and not os.path.lexists(given)  # text may be a glob
    if there or missing or not os.fspath(given):
        yield SourcedImage(Source(next(numbers), path), given)
        return
    for found in PhotoSearch([os.fspath(given)]):
        if isinstance(found, Note):
            warnings.warn(found.text, ImageWarning, stacklevel=2)
        elif isinstance(found, Problem):
            error = FileNotFoundError(f"{found.what}: {found.why}")
            yield SourcedImage(Source(next(numbers), Path(found.what)), error)
        elif found.path.suffix.lower() in VIDEO_SUFFIXES:
            yield from _frames(found.path, numbers)
        else:
            yield SourcedImage(Source(next(numbers), found.path), found.path)


def _frames(video: Path | int, numbers: Iterator[int]) -> Iterator[SourcedImage]:
    """The frames of a video, or the newest ones of a camera; an error ends them."""
    live = isinstance(video, int)
    path = None if isinstance(video, int) else video
    frames = read_camera(video) if isinstance(video, int) else read_video(video)
    ahead = read_ahead(frames, 1 if live else _FRAMES_AHEAD, newest=live)
    latest: Frame | None = None
    with closing(ahead):
        try:
            for latest in ahead:
                source = Source(next(numbers), path, latest.number, latest.time)
                yield SourcedImage(source, latest.pixels, is_read=True)
        except Exception as error:
            number = 0 if latest is None else latest.number + 1
            yield SourcedImage(Source(next(numbers), path, number), error)
