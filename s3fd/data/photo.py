"""Photos that are decoded no larger than they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import numpy as np
from PIL import Image

from s3fd.data.annotations import AnnotatedImage, FloatArray, clipped, has_area
from s3fd.images import ImageError, UInt8Array, open_file, read_image, unreadable, upright
from s3fd.images.files import lies_on_its_side, load_pixels

# Modes that are decoded without loss by a plain conversion; what the others mean is up to
# `read_image`.
_PLAIN_MODES = frozenset(["RGB", "L", "CMYK", "YCbCr"])


class OpenPhoto:
    """A photo whose size is known, and whose pixels are not decoded yet.

    Args:
        annotated: the photo and its labels.
        width: of the photo as it is, upright.
        height: likewise.
        name: to call it in errors.
        decode: gives its pixels in RGB, upright, at least so many times as large as it is.

    Attributes:
        width: in pixels, upright.
        height: in pixels, upright.
        boxes: float32 ``[N, 4]``, the faces, clipped to the photo; what lies outside is left out.
        ignore: float32 ``[M, 4]``, the ignore boxes, likewise.
        planned: what is made of its pixels is planned here, and made elsewhere; False at first.

    Raises:
        ImageError: the labels are for another size.
    """

    def __init__(
        self,
        annotated: AnnotatedImage,
        width: int,
        height: int,
        name: str,
        decode: Callable[[float], UInt8Array],
    ) -> None:
        self.width, self.height = width, height
        if annotated.width is not None and annotated.height is not None:
            labelled = (annotated.width, annotated.height)
            if labelled != (width, height):
                raise ImageError(
                    f"{name}: its labels are for {labelled[0]} x {labelled[1]} pixels, but "
                    f"upright it has {width} x {height}"
                )
        self.boxes = self._clipped(annotated.boxes)
        self.ignore = self._clipped(annotated.ignore)
        self.planned = False
        self._decode = decode

    def _clipped(self, boxes: FloatArray) -> FloatArray:
        seen = clipped(boxes, self.width, self.height)
        return seen[has_area(seen)]

    def decode(self, scale: float) -> UInt8Array:
        """The photo, ``[H, W, 3]``, at least `scale` times as large as it is if it can be.

        Raises:
            ImageError: the file is damaged.
        """
        return self._decode(scale)


Opener = Callable[[AnnotatedImage], AbstractContextManager[OpenPhoto]]
"""What opens a photo: `open_photo`, or the cache that holds it decoded."""


def upright_size(image: Image.Image, name: str) -> tuple[int, int]:
    """Width and height of an open photo once it is turned as its EXIF orientation says.

    The orientation of a PNG may stand behind its pixels, and a TIFF is turned by Pillow as it is
    decoded: these are decoded first.

    Raises:
        ImageError: such a file is damaged.
    """
    if image.format == "PNG" or (image.format == "TIFF" and lies_on_its_side(image)):
        try:
            load_pixels(image)
        except Exception as error:  # as below
            raise unreadable(error, name) from error
    width, height = image.size
    return (height, width) if lies_on_its_side(image) else (width, height)


def decode_photo(image: Image.Image, name: str, scale: float) -> UInt8Array:
    """An open photo in RGB, upright, at least `scale` times as large as it is; once alone.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough, which
    costs that much less.

    Raises:
        ImageError: the file is damaged.
    """
    try:
        width, height = (max(1, int(side * scale)) for side in image.size)  # Pillow divides by them
        image.draft("RGB", (width, height))
        load_pixels(image)
        if image.mode in _PLAIN_MODES and not image.has_transparency_data:
            image = upright(image)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # a damaged file makes Pillow's readers fail in any way
        if isinstance(error, OSError) and image.format in ("JPEG", "MPO"):
            return read_image(
                str(getattr(image, "filename", name))
            )  # as far as it goes, if little is missing
        raise unreadable(error, name) from error
    return read_image(image, name)


@contextmanager
def open_photo(annotated: AnnotatedImage) -> Iterator[OpenPhoto]:
    """Opens a photo.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: (a ValueError) not a picture, damaged, or of another size than its labels are
            for.
    """
    image, name = open_file(annotated.path)
    with image:
        yield OpenPhoto(
            annotated, *upright_size(image, name), name, partial(decode_photo, image, name)
        )
