"""Files of pictures, and pictures that Pillow has opened, as uint8 RGB."""

from __future__ import annotations

import glob
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from s3fd.file_kinds import RAW_SUFFIXES, VIDEO_SUFFIXES
from s3fd.images import plugins
from s3fd.images.arrays import from_array, on_white
from s3fd.images.cut_jpeg import read_cut_jpeg
from s3fd.images.errors import ImageError, reason, unreadable
from s3fd.images.levels import doubt_black, doubt_dark_colours, told_by_values
from s3fd.images.resize import resized
from s3fd.images.types import AnyArray, Scaled, SizeOf, UInt8Array


def read_file(path: str | os.PathLike[str], name: str | None, size_of: SizeOf) -> Scaled:
    """The picture in a file; see `s3fd.images.read_scaled`."""
    image, label = open_file(path, name)
    with image:
        return decode(image, label, size_of, Path(path).read_bytes)


def read_encoded(data: bytes, name: str, size_of: SizeOf) -> Scaled:
    """The picture in what a file holds."""
    if not data:
        raise ImageError(f"{name}: expected the bytes of a picture, got none")
    with _open(data, name) as image:
        return decode(image, name, size_of, lambda: data)


def open_file(path: str | os.PathLike[str], name: str | None = None) -> tuple[Image.Image, str]:
    """Opens a file without decoding its pixels, and says what to call it in errors.

    Raises:
        TypeError, FileNotFoundError, ImageError: as `s3fd.images.read_image`.
    """
    path = os.fspath(path)
    label = f"{name}: {path}" if name else path
    if not isinstance(path, str):
        raise TypeError(f"{label}: expected a path as str or os.PathLike[str], got bytes")
    if not path:
        raise ImageError(f"{name or 'image'}: expected the path of a photo, got an empty one")
    try:
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        hint = "; FaceDetector.stream takes globs, as text" if glob.has_magic(path) else ""
        raise FileNotFoundError(f"{label}: there is no such file{hint}") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"{label}: can't be opened ({reason(error)})") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(
            f"{label}: a folder; pass the photos in it, or the folder to FaceDetector.stream"
        )
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{label}: not a regular file; save the photo to one")
    if status.st_size == 0:
        raise ImageError(f"{label}: an empty file")
    if Path(path).suffix.lower() in RAW_SUFFIXES:
        raise ImageError(f"{label}: a camera's raw file; develop it into a JPEG or TIFF first")
    return _open(path, label), label


def _open(file: str | bytes, name: str) -> Image.Image:
    """Opens a path, or what a file holds; plugins are asked where Pillow alone does not know it."""
    try:
        try:
            image = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)
        except UnidentifiedImageError:
            plugins.register()
            image = Image.open(io.BytesIO(file) if isinstance(file, bytes) else file)
    except UnidentifiedImageError:
        raise ImageError(f"{name}: {_why_unknown(file)}") from None
    except Exception as error:  # a damaged file makes Pillow's readers fail in any way
        raise unreadable(error, name) from error
    if image.format == "EPS":  # whatever the file is called
        image.close()
        raise ImageError(
            f"{name}: an EPS drawing, a program that Ghostscript would have to run; make a PNG of "
            "it first"
        )
    return image


def _why_unknown(file: str | bytes) -> str:
    if isinstance(file, bytes):
        start = file[:12]
    else:
        with Path(file).open("rb") as opened:
            start = opened.read(12)
    plugin = plugins.plugin_for(start)
    if isinstance(file, str) and Path(file).suffix.lower() in VIDEO_SUFFIXES:
        return "a video, not a picture; pass it to FaceDetector.stream"
    if plugin is None:
        return "not a picture, or of a kind that Pillow can't read"
    return f"a {plugin.kind} picture, for which Pillow needs a plugin: pip install {plugin.package}"


def decode(
    image: Image.Image,
    name: str,
    size_of: SizeOf,
    encoded: Callable[[], bytes] | None = None,
) -> Scaled:
    """The pixels of an image that Pillow has opened.

    Args:
        image: in any mode.
        name: what to call it in errors.
        size_of: gives the size that is wanted.
        encoded: gives the whole file that it was opened from, if the image is ours alone.

    Raises:
        ImageError: see `s3fd.images.read_image`.
    """
    if image.width == 0 or image.height == 0:
        raise ImageError(f"{name}: expected a picture, got {image.width} x {image.height} pixels")
    # What the decoder is told: colours of 16 bits get lost, but grey levels of 16 bits do not.
    deep = any(";16" in str(tile) for tile in getattr(image, "tile", []))
    size = image.size
    try:
        extent = None if encoded is None else _leave_out_detail(image, size_of)
        loaded = _loaded(image, name, encoded)
        if extent is None or loaded is not image:
            size = extent = loaded.size
        pixels = _as_rgb(loaded, name)
    except ImageError:
        raise
    except Exception as error:  # as above
        raise unreadable(error, name) from error
    if not _has_levels(loaded):
        (doubt_dark_colours if deep else doubt_black)(pixels, name)
    height, width = size_of((size[1], size[0]))
    pixels = resized(pixels, height, width, (extent[1], extent[0]))
    return _turned(Scaled(pixels, (size[1], size[0])), loaded)


def _leave_out_detail(image: Image.Image, size_of: SizeOf) -> tuple[float, float] | None:
    """Has a JPEG decoded at a half, a quarter or an eighth of its size where that is enough.

    Returns:
        width and height of the whole picture in the pixels that it will have, the last of which
        may go beyond it; None if it is no JPEG.
    """
    if image.format not in ("JPEG", "MPO"):
        return None
    height, width = size_of((image.height, image.width))
    drafted = image.draft(None, (width, height))  # None: whatever its mode
    return None if drafted is None else drafted[1][2:]


def _as_rgb(image: Image.Image, name: str) -> UInt8Array:
    """The pixels of a loaded image, as they lie in the file."""
    if _has_levels(image):
        return _from_levels(np.asarray(image), name)
    if image.mode == "La" or image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        return on_white(image.convert("RGBA"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _has_levels(image: Image.Image) -> bool:
    """Whether Pillow keeps more than 8 bits, as it does for grey alone."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _from_levels(levels: AnyArray, name: str) -> UInt8Array:
    """Grey levels of more than 8 bits."""
    if levels.dtype.kind == "u":
        return from_array(levels, name, "picture", "a size")
    return np.repeat(told_by_values(levels, name)[:, :, None], 3, axis=2)


def load_pixels(image: Image.Image) -> None:
    """Decodes the pixels of an image that Pillow has opened, in place.

    Of a file without compression Pillow would map the pixels, and do so by the size of the upright
    picture: rows of a TIFF that lies on its side would be of a wrong length. It maps by name.
    """
    name = getattr(image, "filename", "")
    if image.format != "TIFF" or not name:
        image.load()
        return
    image.filename = ""  # type: ignore[attr-defined]  # of files alone
    try:
        image.load()
    finally:
        image.filename = name  # type: ignore[attr-defined]


def _loaded(image: Image.Image, name: str, encoded: Callable[[], bytes] | None) -> Image.Image:
    try:
        load_pixels(image)
    except OSError:
        if encoded is None or image.format not in ("JPEG", "MPO"):
            raise
        return read_cut_jpeg(encoded(), name)
    return image


def _turned(scaled: Scaled, image: Image.Image) -> Scaled:
    """Turns pixels upright, as the image asks for that they are from."""
    orientation = _orientation(image)
    if orientation == 1:
        return scaled
    picture = Image.fromarray(scaled.pixels)
    picture.getexif()[ExifTags.Base.Orientation] = orientation
    height, width = scaled.original_size
    return Scaled(
        np.asarray(ImageOps.exif_transpose(picture)),
        (width, height) if orientation >= 5 else (height, width),
    )


def upright(image: Image.Image) -> Image.Image:
    """Turns the image as its EXIF orientation says; a damaged EXIF block says nothing."""
    return image if _orientation(image) == 1 else ImageOps.exif_transpose(image)


def lies_on_its_side(image: Image.Image) -> bool:
    """Whether an image that Pillow has opened becomes upright by a right angle."""
    return _orientation(image) >= 5


def _orientation(image: Image.Image) -> int:
    """Of EXIF: 2 to 8 for images that are to be turned, from 5 on by a right angle.

    That of JPEG XL stands in the picture's own header, and its decoder turns by it, whatever EXIF
    says besides. A JPEG that was packed into one comes out as it was.
    """
    if image.format == "JXL" and not getattr(image, "jpeg", False):
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a damaged EXIF block says nothing
        return 1
    return orientation if orientation in range(2, 9) else 1
