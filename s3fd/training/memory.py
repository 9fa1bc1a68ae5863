"""What the C library does with the memory of a step that is over."""

from __future__ import annotations

import ctypes
import platform

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
    if platform.libc_ver()[0] != "glibc":
        return
    library = ctypes.CDLL(None)
    library.mallopt(_M_MMAP_THRESHOLD, _ONE_GIBIBYTE)
    library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)
