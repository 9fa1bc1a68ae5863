"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
import platform
from functools import cache

# Names and numbers of <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_ONE_GIBIBYTE = 1 << 30
_LARGEST_INT = (1 << 31) - 1


def keep_freed_memory() -> None:
    """Lets the C library keep the maps that a training step frees for the next step.

    glibc hands arrays over 32 MiB back to the system as soon as they are freed, and whatever is
    free at the end of its heap. A step allocates the same dozens of large maps as the one before,
    so each of their pages would be fetched and zeroed anew: a quarter of the step on a CPU.

    For the whole process, and for good. Other C libraries are left alone.
    """
    library = _glibc()
    if library is not None:
        library.mallopt(_M_MMAP_THRESHOLD, _ONE_GIBIBYTE)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


class FreedMemory:
    """Has the C library give back what was freed, after so many items.

    Arrays of thousands of sizes, as photos of many sizes make them, leave holes in glibc's heap
    that the next ones do not fit into, so that it grows by a photo with each photo.

    Args:
        every: items between two times.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._items = 0

    def count(self, items: int) -> None:
        """So many more; where threads count at once, one of them may be forgotten."""
        self._items += items
        if self._items >= self._every:
            self._items = 0
            library = _glibc()
            if library is not None:
                library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library of this process; None if it is another one, which is left alone."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
