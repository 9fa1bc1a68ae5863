"""Memory that was freed: a training step's stays with the process, a detector's goes back."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from s3fd import FaceDetector
from s3fd.memory import FreedMemory

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory"
)

# The fewest page faults that filling 128 MiB took, of ten times.
PROGRAM = """
import resource
import torch
from s3fd.memory import keep_freed_memory

if {kept}:
    keep_freed_memory()
faults = []
for _ in range(10):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 25)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""


def page_faults(*, kept: bool) -> int:
    program = PROGRAM.format(kept=kept)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return int(done.stdout)


def test_large_maps_that_are_freed_are_used_again() -> None:
    assert page_faults(kept=True) < 1000 < page_faults(kept=False)


# 256 MiB in pieces, of which the last one stays, so that the heap has one large hole.
HOLE = """
import resource
import numpy as np
from s3fd.memory import FreedMemory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

pieces = [np.ones(1 << 13) for _ in range(4096)]
full = resident()
del pieces[:-1]
freed = FreedMemory({every})
for _ in range(2):
    freed.count(2)
print(full - resident())
"""


def returned(every: int) -> float:
    """Mebibytes that the system got back."""
    program = HOLE.format(every=every)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return float(done.stdout)


def test_holes_in_the_heap_go_back_to_the_system_after_so_many_items() -> None:
    assert returned(every=5) < 64
    assert returned(every=4) > 192


@pytest.fixture
def trims(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the C library was asked to keep, each time that it was to give memory back."""
    asked: list[int] = []
    library = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr("s3fd.memory._glibc", lambda: library)
    return asked


def test_memory_goes_back_again_and_again(trims: list[int]) -> None:
    freed = FreedMemory(every=3)
    seen = []
    for items in (1, 1, 1, 2, 2, 7, 1):
        freed.count(items)
        seen.append(len(trims))
    assert seen == [0, 0, 1, 1, 2, 3, 3]


def test_a_detector_gives_memory_back_however_it_is_asked(trims: list[int]) -> None:
    detector = FaceDetector.from_pretrained("light", device="cpu")
    image = np.zeros((32, 32, 3), np.uint8)
    for _ in range(64):
        detector(image)
    assert not trims
    list(detector.stream([image] * 32))
    detector([image] * 32)
    assert trims == [0]
