"""A JPEG that ends too early: read as far as it goes, if that is nearly all of it."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from s3fd.images.errors import ImageError, ImageWarning
from s3fd.images.types import UInt8Array

_END = b"\xff\xd9"
_ROWS = 16  # of the largest block that is coded at once: what the loss of one byte may cost


def read_cut_jpeg(data: bytes, name: str) -> Image.Image:
    """The picture of a file without its end, with a warning.

    Args:
        data: the file.
        name: what to call it.

    Raises:
        ImageError: more than its last rows (an eighth of its height) or, of a progressive one,
            more than its last refinement is missing.
        Exception: Pillow's own, if that was not what ails it.
    """
    image = Image.open(io.BytesIO(data + _END))
    image.load()
    rows = _missing_rows(np.asarray(image))
    height = image.height
    lost = f"the lowest {rows} of {height} rows are missing" if rows else "its end is missing"
    most = max(_ROWS, height // 8)
    if _lacks_scans(data) or rows > most or 3 * rows >= height:
        raise ImageError(f"{name}: damaged: it is cut short ({lost}); fetch or copy it again")
    warnings.warn(f"{name}: cut short: {lost}", ImageWarning, stacklevel=2)
    return image


def _missing_rows(pixels: UInt8Array) -> int:
    """Rows below which there is nothing but the grey that the decoder fills them with."""
    filled = pixels == pixels[-1, -1]
    whole = filled.reshape(len(pixels), -1).all(axis=1)
    present = np.flatnonzero(~whole)
    return int(len(pixels) - 1 - present[-1]) if len(present) else len(pixels)


def _lacks_scans(data: bytes) -> bool:
    """Whether some coefficients of a progressive file have not begun to get their last bit."""
    wanted: set[tuple[int, int]] = set()  # (component, coefficient)
    for marker, body in _segments(data):
        if marker == 0xC2:  # the frame of a progressive JPEG
            components = body[6 : 6 + 3 * body[5] : 3]
            wanted = {(component, index) for component in components for index in range(64)}
        elif marker == 0xDA:  # a scan
            count = body[0]
            first, last, bits = body[1 + 2 * count : 4 + 2 * count]
            if bits & 15 == 0:
                scanned = body[1 : 1 + 2 * count : 2]
                wanted -= {(c, index) for c in scanned for index in range(first, last + 1)}
    return bool(wanted)


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The whole segments of a JPEG: marker and body, without the coded pixels between them."""
    position = 2
    while (position := data.find(b"\xff", position)) >= 0 and position + 4 <= len(data):
        marker = data[position + 1]
        if marker == 0 or marker == 0xFF or 0xD0 <= marker <= 0xD8:  # within coded pixels
            position += 1 + (marker != 0xFF)
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        body = data[position + 4 : position + 2 + length]
        if len(body) < length - 2:
            return
        yield marker, body
        position += 2 + length
