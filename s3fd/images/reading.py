"""Any picture as uint8 RGB: files, their bytes, PIL images, arrays and tensors."""

from __future__ import annotations

import os
from typing import IO, Any, Literal, TypeAlias, get_args

import numpy as np
from PIL import Image
from torch import Tensor

from s3fd.images.arrays import from_array, from_tensor
from s3fd.images.errors import ImageError
from s3fd.images.files import decode, read_encoded, read_file
from s3fd.images.resize import resized
from s3fd.images.types import AnyArray, Scaled, Size, SizeOf, UInt8Array
from s3fd.messages import one_line, shown
from s3fd.settings import check_choice

ImageLike: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | AnyArray
    | Tensor
)
"""What `read_image` reads."""

ChannelOrder: TypeAlias = Literal["RGB", "BGR"]
"""Of arrays and tensors: ``"BGR"`` for those of OpenCV."""


def read_image(
    image: ImageLike, name: str | None = None, *, channel_order: ChannelOrder = "RGB"
) -> UInt8Array:
    """A picture of any kind as uint8 RGB, as a person would see it.

    - A file (its path; or opened, from its start; or what it holds, as bytes) or a PIL image:
      turned upright as its EXIF orientation says. The first frame of an animation. Transparent
      parts lie on white. HEIC and JPEG XL where `pillow-heif` and `pillow-jxl-plugin` are
      installed. 16-bit levels are scaled from 0 .. 65535. Levels of PIL's modes ``I`` and ``F``,
      which can mean anything, count as 0 .. 1 (``F`` alone), as 0 .. 255 or as 0 .. 65535 where
      their largest tells. A JPEG cut short by its last rows is read with a warning.
    - An array ``[H, W]``, or ``[H, W, C]`` with 1, 3 (RGB) or 4 (RGB and opacity) channels.
    - A tensor ``[C, H, W]`` with as many channels, on any device.

    Arrays and tensors are uint8 (0 .. 255), uint16 (0 .. 65535), floating point in 0 .. 1, or
    bool. What lies outside a range by a twentieth of it at most is clipped.

    Args:
        image: the picture.
        name: the argument to name in errors, such as ``images[3]``.
        channel_order: of an array or tensor; files and PIL images know theirs.

    Returns:
        uint8 ``[H, W, 3]``, contiguous. It may share memory with an array or tensor that is such
        an image already.

    Raises:
        TypeError: this kind of object, or dtype, is no picture.
        FileNotFoundError: there is no such file.
        ImageError: (a ValueError) not a picture, damaged, empty, too large to be opened safely,
            or of a shape or a range of values that is not described above.

    Warns:
        ImageWarning: a JPEG lacks its last rows, or levels are so dark, though not all 0, that they
            seem to be of another range: up to 1 of 255, or to a 16th of 65535.

    Example:
        >>> import numpy as np
        >>> read_image(np.full((2, 3), 65535, dtype=np.uint16)).shape
        (2, 3, 3)
    """
    return read_scaled(image, _as_it_is, name, channel_order=channel_order).pixels


def _as_it_is(size: Size) -> Size:
    return size


def read_scaled(
    image: ImageLike,
    size_of: SizeOf,
    name: str | None = None,
    *,
    channel_order: ChannelOrder = "RGB",
) -> Scaled:
    """A picture of any kind, scaled as Pillow's antialiased bilinear filter does.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough, which
    leaves out its finest detail and most of the work.

    Args:
        image: as for `read_image`.
        size_of: gives the size that is wanted.
        name: as for `read_image`.
        channel_order: as for `read_image`.

    Raises:
        TypeError, FileNotFoundError, ImageError: as `read_image`.

    Example:
        >>> half = read_scaled(np.zeros((4, 6), np.uint8), lambda size: (size[0] // 2, 3))
        >>> half.pixels.shape, half.original_size
        ((2, 3, 3), (4, 6))
    """
    check_channel_order(channel_order)
    if isinstance(image, str | os.PathLike):
        return read_file(image, name, size_of)
    name = name or "image"
    if isinstance(image, Image.Image):
        return decode(image, name, size_of)
    if isinstance(image, bytes | bytearray | memoryview):
        return read_encoded(bytes(image), name, size_of)
    if is_file(image):
        return read_encoded(read_open_file(image, name), name, size_of)
    return scaled_pixels(_from_memory(image, name, bgr=channel_order == "BGR"), size_of)


def scaled_pixels(pixels: UInt8Array, size_of: SizeOf) -> Scaled:
    """As `read_scaled`, what `read_image` has given."""
    size = pixels.shape[0], pixels.shape[1]
    return Scaled(resized(pixels, *size_of(size)), size)


def _from_memory(image: object, name: str, *, bgr: bool) -> UInt8Array:
    if isinstance(image, Tensor):
        return from_tensor(image, name, bgr=bgr)
    if isinstance(image, np.ndarray):
        expected = "[H, W] or [H, W, 1, 3 or 4 channels]"
        return from_array(image, name, "array", expected, bgr=bgr)
    raise TypeError(
        f"{name}: expected a path, the bytes of a file, an open file, a PIL image, an array or a "
        f"tensor, got {_describe(image)}"
    )


def check_channel_order(channel_order: object) -> None:
    """Refuses what is no `ChannelOrder`."""
    check_choice("channel_order", channel_order, get_args(ChannelOrder))


def is_image(value: object) -> bool:
    """Whether `read_image` takes this for one picture, rather than for several or for none."""
    if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind in "OU":
        return False  # of names of files, or of pictures
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, np.ndarray, Tensor)
    return isinstance(value, kinds) or is_file(value)


def is_file(value: object) -> bool:
    """Whether it is an open file; OpenCV's captures have a method ``read`` too."""
    return hasattr(value, "read") and (hasattr(value, "seek") or hasattr(value, "readable"))


def read_open_file(file: Any, name: str) -> bytes:
    """What an open file holds, from its start where it can go back there.

    Raises:
        TypeError: it was opened as text.
        ImageError: it is closed, or can't be read.
    """
    try:
        if not hasattr(file, "seekable") or file.seekable():
            file.seek(0)
        data = file.read()
    except UnicodeError:
        data = ""  # it is read as text, and isn't any
    except (OSError, ValueError) as error:
        raise ImageError(f"{name}: the file can't be read ({error})") from error
    if not isinstance(data, bytes):
        got = "one of text" if isinstance(data, str) else f"one of {type(data).__name__}"
        raise TypeError(f"{name}: expected a file opened as bytes, 'rb', got {got}")
    return data


def _describe(value: object) -> str:
    return f"{type(value).__name__} {one_line(shown(value))}"


def open_rgb(image: ImageLike, *, channel_order: ChannelOrder = "RGB") -> Image.Image:
    """As `read_image`, for drawing and cutting: a PIL image of mode ``RGB``."""
    return Image.fromarray(read_image(image, channel_order=channel_order))
