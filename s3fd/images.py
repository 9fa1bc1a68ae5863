"""Any picture as uint8 RGB: files, PIL images, arrays and tensors."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
AnyArray: TypeAlias = npt.NDArray[Any]

ImageLike: TypeAlias = str | os.PathLike[str] | Image.Image | AnyArray | Tensor
"""What `read_image` reads."""


class ImageError(ValueError):
    """A picture that can't be read; the message says which and why."""


def read_image(image: ImageLike, name: str | None = None) -> UInt8Array:
    """A picture of any kind as uint8 RGB, as a person would see it.

    - A file (a path), or a PIL image: turned upright as its EXIF orientation says. The first frame
      of an animation. Transparent parts lie on white. 16-bit levels are scaled from 0 .. 65535.
      Levels of PIL's modes ``I`` and ``F``, which can mean anything, count as 0 .. 1 (``F`` alone),
      as 0 .. 255 or as 0 .. 65535: the smallest of these ranges that holds them all.
    - An array ``[H, W]``, or ``[H, W, C]`` with 1, 3 (RGB) or 4 (RGB and opacity) channels.
    - A tensor ``[C, H, W]`` with as many channels, on any device.

    Arrays and tensors are uint8 (0 .. 255), uint16 (0 .. 65535), or floating point in 0 .. 1.

    Args:
        image: the picture.
        name: the argument to name in errors, such as ``images[3]``.

    Returns:
        uint8 ``[H, W, 3]``, contiguous. It may share memory with an array or tensor that is such
        an image already.

    Raises:
        TypeError: this kind of object, or dtype, is no picture.
        FileNotFoundError: there is no such file.
        ImageError: (a ValueError) not a picture, damaged, empty, too large to be opened safely,
            or of a shape or a range of values that is not described above.

    Example:
        >>> import numpy as np
        >>> read_image(np.full((2, 3), 257, dtype=np.uint16)).shape
        (2, 3, 3)
    """
    if isinstance(image, str | os.PathLike):
        return _read_file(image, name)
    name = name or "image"
    if isinstance(image, Image.Image):
        return _decode(image, name)
    if isinstance(image, Tensor):
        return _from_tensor(image, name)
    if isinstance(image, np.ndarray):
        return _from_array(image, name, "array", "[H, W] or [H, W, 1, 3 or 4 channels]")
    raise TypeError(
        f"{name}: expected a path, a PIL image, an array or a tensor, got {_describe(image)}"
    )


def _describe(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 60 else text[:57] + '...'}"


def _read_file(path: str | os.PathLike[str], name: str | None) -> UInt8Array:
    image, label = open_file(path, name)
    with image:
        return _decode(image, label)


def open_file(path: str | os.PathLike[str], name: str | None = None) -> tuple[Image.Image, str]:
    """Opens a file without decoding its pixels, and says what to call it in errors.

    Raises:
        TypeError, FileNotFoundError, ImageError: as `read_image`.
    """
    path = os.fspath(path)
    label = f"{name}: {path}" if name else path
    if not isinstance(path, str):
        raise TypeError(f"{label}: expected a path as str or os.PathLike[str], got bytes")
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{label or repr(path)}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{label}: can't be opened ({_reason(error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{label}: a folder; pass the photos in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{label}: not a regular file; save the photo to one")
    if status.st_size == 0:
        raise ImageError(f"{label}: an empty file")
    try:
        return Image.open(path), label
    except UnidentifiedImageError:
        raise ImageError(f"{label}: not a picture, or of a kind that Pillow can't read") from None
    except Exception as error:  # a damaged file makes Pillow's readers fail in any way
        raise unreadable(error, label) from error


def _decode(image: Image.Image, name: str) -> UInt8Array:
    if image.width == 0 or image.height == 0:
        raise ImageError(f"{name}: expected a picture, got {image.width} x {image.height} pixels")
    try:
        image.load()
        image = upright(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            levels = np.asarray(image)
        elif image.has_transparency_data:
            return _on_white(image.convert("RGBA"))
        else:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # as above
        raise unreadable(error, name) from error
    return _from_array(_known_range(levels, name), name, "picture", "a size")


def unreadable(error: Exception, name: str) -> ImageError:
    """What to raise for an error of Pillow's."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(
            f"{name}: too many pixels to be opened safely ({error}); if you trust it, shrink it "
            "first, or set PIL.Image.MAX_IMAGE_PIXELS"
        )
    if isinstance(error, PermissionError):
        return ImageError(f"{name}: can't be opened ({_reason(error)})")
    if isinstance(error, MemoryError):
        return ImageError(f"{name}: too large for the memory of this machine")
    return ImageError(f"{name}: damaged, or of a kind that Pillow can't read ({_reason(error)})")


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror or error) or type(error).__name__


def upright(image: Image.Image) -> Image.Image:
    """Turns the image as its EXIF orientation says; a damaged EXIF block says nothing."""
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


def _on_white(image: Image.Image) -> UInt8Array:
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def _known_range(levels: AnyArray, name: str) -> AnyArray:
    """Grey levels of more than 8 bits as uint8, as uint16, or as floats in 0 .. 1."""
    if levels.dtype.kind == "u":
        return levels
    low, high = float(levels.min()), float(levels.max())
    if not (low >= 0 and high <= 65535):
        raise ImageError(
            f"{name}: expected levels in 0 .. 1, 0 .. 255 or 0 .. 65535, got {low:g} .. {high:g}; "
            "scale them first"
        )
    if levels.dtype.kind == "f" and high <= 1:
        return levels
    return np.rint(levels).astype(np.uint8 if high <= 255 else np.uint16)


def _from_tensor(tensor: Tensor, name: str) -> UInt8Array:
    expected = "[1, 3 or 4 channels, H, W]"
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3, 4):
        channels_last = tensor.dim() == 3 and tensor.shape[2] == 3
        raise ImageError(
            f"{name}: expected a tensor {expected}, got {list(tensor.shape)}"
            + _hint(tensor.dim(), "permute", channels_last)
        )
    tensor = tensor.detach()
    if tensor.is_floating_point():
        tensor = tensor.float()
    return _from_array(tensor.cpu().permute(1, 2, 0).numpy(), name, "tensor", expected)


def _from_array(array: AnyArray, name: str, kind: str, expected: str) -> UInt8Array:
    channels = array[:, :, None] if array.ndim == 2 else array
    if channels.ndim != 3 or channels.shape[2] not in (1, 3, 4):
        channels_first = array.ndim == 3 and array.shape[0] == 3
        raise ImageError(
            f"{name}: expected an {kind} {expected}, got {list(array.shape)}"
            + _hint(array.ndim, "transpose", channels_first)
        )
    if channels.size == 0:
        raise ImageError(f"{name}: expected at least one pixel, got {kind} {list(array.shape)}")
    pixels = _to_uint8(channels, name, kind)
    if pixels.shape[2] == 4:
        return _on_white(Image.fromarray(np.ascontiguousarray(pixels)))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _hint(dimensions: int, method: str, misplaced: bool) -> str:
    if dimensions == 4:
        return "; pass a batch as a list of images: list(batch)"
    order = "(2, 0, 1)" if method == "permute" else "(1, 2, 0)"
    return f"; {method}{order} puts its channels where they belong" if misplaced else ""


def _to_uint8(values: AnyArray, name: str, kind: str) -> UInt8Array:
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # NaN is refused too
            raise ImageError(
                f"{name}: expected a floating-point {kind} in 0 .. 1, got values in "
                f"{low:g} .. {high:g}; divide by 255, or convert it to uint8"
            )
        return np.rint(values.astype(np.float32) * 255).astype(np.uint8)
    raise TypeError(
        f"{name}: expected uint8 (0 .. 255), uint16 (0 .. 65535) or floating point (0 .. 1), got "
        f"{kind} of {values.dtype}; convert it to uint8"
    )


def open_rgb(image: ImageLike) -> Image.Image:
    """As `read_image`, for drawing and cutting: a PIL image of mode ``RGB``."""
    return Image.fromarray(read_image(image))
