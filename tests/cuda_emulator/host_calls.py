"""Counts what a call asks of the emulated device: for scripts that the tests run beside it."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

from kernel_bridge import DEVICE

NAMES = ("launches", "memsets", "copies", "synchronisations", "allocations")


def calls(function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """The result of a call, whose counts are printed as a line of JSON, a number a name."""
    library = DEVICE.calls
    library.s3fd_emulator_count_of.restype = ctypes.c_int64
    library.s3fd_emulator_reset_counts()
    result = function(*arguments, **options)
    print(json.dumps({name: library.s3fd_emulator_count_of(name.encode()) for name in NAMES}))
    return result
