"""Arrays that pictures come in."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
"""The pixels of a picture that was read: ``[H, W, 3]``, RGB."""
AnyArray: TypeAlias = npt.NDArray[Any]
"""The pixels of a picture that is given, of any number type."""
