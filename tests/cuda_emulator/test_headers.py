"""The headers of the kernels stand beside each other."""

from __future__ import annotations


def test_a_kernel_may_include_any_two_headers(build_emulator):
    folder = build_emulator("plain", "_every_header")
    assert (folder / "_every_header.so").exists()
    included = (folder / "every_header.cpp").read_text()
    for header in ("cuda/match_grid.cuh", "cuda/primitives/launch.h", "cuda/mining.cuh"):
        assert f'#include "{header}"' in included
