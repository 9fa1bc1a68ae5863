"""Memory that was freed: a training step's stays with the process, a stream's goes back."""

import platform
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

from s3fd import FaceDetector
from s3fd.memory import returning_freed_memory

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
from s3fd.memory import returning_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20

pieces = [np.ones(1 << 13) for _ in range(4096)]
full = resident()
del pieces[:-1]
assert list(returning_freed_memory((number for number in range(4)), every={every})) == [0, 1, 2, 3]
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


def test_items_are_closed_with_what_gives_their_memory_back() -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield from range(9)
        finally:
            ended.append(True)

    results = returning_freed_memory(items(), every=2)
    assert [next(results), next(results), next(results)] == [0, 1, 2]
    results.close()
    assert ended == [True]


def test_a_stream_gives_memory_back_as_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = []

    def spy(results, every):
        numbers.append(every)
        yield from results

    monkeypatch.setattr("s3fd.detector.returning_freed_memory", spy)
    detector = FaceDetector.from_pretrained("light", device="cpu")
    assert len(list(detector.stream([np.zeros((32, 32, 3), np.uint8)] * 3))) == 3
    (every,) = numbers
    assert 32 <= every <= 256
