"""Levels of brightness in any number type as uint8: what range they mean, or an error.

The type of an array says its range: 0 .. 255 for uint8, 0 .. 65535 for uint16, 0 .. 1 for floating
point, False and True. A file of 32-bit levels says nothing, but its levels do, mostly. Levels
slightly outside a range, as sharpening and resampling leave them, are clipped to it.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from s3fd.images.errors import ImageError, ImageWarning
from s3fd.images.types import AnyArray, UInt8Array

_SLACK = 0.05  # of a range: what may lie outside
# A picture whose brightest level is a 16th of its range shows no face: the range is another one.
_DARK = 16
# One of 8 bits may be that dark, at night or in a fade. But not this dark: all is 0 or 1 of 255.
_BLACK = 255 / (1 + _SLACK)


def to_uint8(values: AnyArray, name: str, kind: str) -> UInt8Array:
    """Levels of a type that says their range.

    Raises:
        TypeError: a type that does not.
        ImageError: levels that are not in that range.
    """
    if values.dtype == np.uint8:
        doubt_black(values, name)
        return values
    if values.dtype == np.bool_:
        return _scaled(values, 1)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        _doubt_dark(int(values.max()), name, kind)
        return _scaled(values, 65535)
    if values.dtype.kind == "f":
        low, high = _bounds(values, name, kind)
        if not _fits(low, high, 1):
            raise ImageError(
                f"{name}: expected a floating-point {kind} in 0 .. 1, got values in "
                f"{_range(low, high)}; {_remedy(low, high)}"
            )
        _doubt_black_share(high, name)
        return _scaled(values, 1)
    raise TypeError(
        f"{name}: expected uint8 (0 .. 255), uint16 (0 .. 65535), floating point (0 .. 1) or bool, "
        f"got {kind} of {values.dtype}; convert it to uint8"
    )


def told_by_values(levels: AnyArray, name: str) -> UInt8Array:
    """Levels of a file that does not say their range, if they do.

    Raises:
        ImageError: they may mean this or that.
    """
    low, high = _bounds(levels, name, "picture")
    ranges = (1, 255, 65535) if levels.dtype.kind == "f" else (255, 65535)
    for top in ranges:
        if _fits(low, high, top) and (top == 1 or low == high == 0 or high * _DARK >= top):
            if top == 1:
                _doubt_black_share(high, name)
            return _scaled(levels, top)
    raise ImageError(
        f"{name}: expected levels in 0 .. 1, 0 .. 255 or 0 .. 65535, got {_range(low, high)}, from "
        "which their range can't be told; scale them to uint8 and pass the array: "
        "np.asarray(PIL.Image.open(path))"
    )


def _bounds(values: AnyArray, name: str, kind: str) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ImageError(
            f"{name}: expected {_one(kind)} of numbers in 0 .. 1, got NaN or infinite ones; "
            "replace them, with numpy.nan_to_num for example"
        )
    return low, high


def _fits(low: float, high: float, top: float) -> bool:
    return low >= -_SLACK * top and high <= (1 + _SLACK) * top


def _scaled(values: AnyArray, top: int) -> UInt8Array:
    scaled = values.astype(np.float32) * np.float32(255 / top)
    pixels: UInt8Array = np.rint(scaled).clip(0, 255).astype(np.uint8)
    return pixels


def _doubt_dark(high: int, name: str, kind: str) -> None:
    """Levels of 8 bits, or of a sensor's 12, that lie in 16: they would be black unsaid."""
    if 0 < high <= 255:
        raise ImageError(
            f"{name}: expected {_one(kind)} of 16 bits, in 0 .. 65535, got no level above {high}, "
            "as 8 bits have them; convert it to uint8 if it is of 8 bits"
        )
    if 0 < high * _DARK <= 65535:
        _warn_of_darkness(
            f"{name}: nearly black: no level above {high} of 65535; if it is of fewer bits, "
            "multiply it accordingly: those of 12 bits by 16"
        )


def doubt_dark_colours(pixels: UInt8Array, name: str) -> None:
    """As for grey levels, for colours of 16 bits, of which Pillow keeps the upper 8."""
    high = int(pixels.max())
    if high < _DARK:
        _warn_of_darkness(
            f"{name}: nearly black: of 16 bits, but with no level above {high} of 255 when read as "
            "such; if it is of fewer bits, save it with 8"
        )


def doubt_black(pixels: UInt8Array, name: str) -> None:
    """Levels of 8 bits that are those of a mask, or 0 .. 1 turned into integers."""
    if pixels[::32, ::32].max() <= 1 and pixels.max() == 1:  # of most, a few levels tell
        _warn_of_darkness(
            f"{name}: nearly black: no level above 1 of 255; if it means 0 .. 1, multiply by 255"
        )


def _doubt_black_share(high: float, name: str) -> None:
    """Levels in 0 .. 1 that are so twice over."""
    if 0 < high * _BLACK <= 1:
        _warn_of_darkness(
            f"{name}: nearly black: no level above {high:.3g} of 1; if it was divided by 255 "
            "twice, multiply by 255"
        )


def _warn_of_darkness(message: str) -> None:
    warnings.warn(message, ImageWarning, stacklevel=3)


def _one(kind: str) -> str:
    return f"{'an' if kind == 'array' else 'a'} {kind}"


def _range(low: float, high: float) -> str:
    return f"{low:.9g} .. {high:.9g}"


def _remedy(low: float, high: float) -> str:
    if low < -_SLACK:
        return "undo the normalisation that it went through, such as (x + 1) / 2 for -1 .. 1"
    if high <= 2:
        return "clamp it to 0 .. 1, with .clip(0, 1)"
    for top in (255, 65535):
        if _fits(low, high, top) and high * _DARK >= top:
            return f"divide by {top}" + ", or convert it to uint8" * (top == 255)
    return "clamp it with .clip(0, 1) if it means 0 .. 1, divide by 255 if it means 0 .. 255"
