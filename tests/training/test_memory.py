"""Memory that a training step frees stays with the process."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory"
)

# The fewest page faults that filling 128 MiB took, of ten times.
PROGRAM = """
import resource
import torch
from s3fd.training.memory import keep_freed_memory

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
