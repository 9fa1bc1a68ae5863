"""Sizes that fit what the operators run on."""

import pytest

from s3fd import _extension


@pytest.fixture
def many() -> int:
    """So many boxes that nothing may be done for every pair of them.

    Fewer where a CPU emulates the threads of a GPU, but more than a single block sorts.
    """
    return 9_000 if _extension.build_info()["cuda"] == "EMULATED" else 200_000
