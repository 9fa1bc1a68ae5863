"""Arrays that pictures come in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
"""The pixels of a picture that was read: ``[H, W, 3]``, RGB."""
AnyArray: TypeAlias = npt.NDArray[Any]
"""The pixels of a picture that is given, of any number type."""

Size: TypeAlias = tuple[int, int]
"""Height and width, in pixels."""

SizeOf: TypeAlias = Callable[[Size], Size]
"""The size that is wanted of a picture, by its own; of its turned size, the turned answer."""


class Scaled(NamedTuple):
    """A picture in the size that was wanted of it.

    Attributes:
        pixels: uint8 ``[H, W, 3]``.
        original_size: its own.
    """

    pixels: UInt8Array
    original_size: Size
