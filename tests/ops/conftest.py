"""Sizes that fit what the operators run on."""

import os

import pytest


@pytest.fixture
def many() -> int:
    """So many boxes that nothing may be done for every pair of them.

    Fewer where a CPU emulates the threads of a GPU, but more than a single block sorts.
    """
    return 9_000 if os.environ.get("S3FD_BRIDGE", "cuda") != "cuda" else 200_000
