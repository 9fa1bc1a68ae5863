"""The emulator finds what it exists for."""

from __future__ import annotations

import subprocess
import sys

import pytest

VALUES = list(range(100, 228))


def test_threads_exchange_values_through_shared_memory(ordered_emulator):
    result = ordered_emulator.start("reverse", VALUES, grid=2, block=64)
    assert result == VALUES[:64][::-1] + VALUES[64:][::-1]


def test_a_missing_barrier_shows_in_every_order(ordered_emulator):
    expected = VALUES[:64][::-1]
    assert ordered_emulator.start("reverse without barrier", VALUES[:64], block=64) != expected


def test_a_missing_barrier_gives_a_result_that_depends_on_the_order(emulator):
    results = []
    for order in ("forward", "reverse"):
        emulator.set_order(order)
        results.append(emulator.start("reverse without barrier", VALUES[:64], block=64))
    assert results[0] != results[1]


def test_lanes_add_up_by_shuffling(ordered_emulator):
    result = ordered_emulator.start("sum of warp", VALUES[:64], block=64)
    assert result == [sum(VALUES[:32])] * 32 + [sum(VALUES[32:64])] * 32


def test_warps_that_wait_for_each_other_agree(ordered_emulator):
    assert ordered_emulator.start("sum of block", VALUES[:64], block=64) == [sum(VALUES[:64])] * 64


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_a_warp_that_runs_ahead_of_another_shows(emulator, order):
    emulator.set_order(order)
    wrong = emulator.start("sum without barrier", VALUES[:64], block=64)
    assert wrong != [sum(VALUES[:64])] * 64


def test_functions_of_a_warp_do_what_cuda_documents(ordered_emulator):
    result = ordered_emulator.start("functions of warp", [0] * 9 * 64, block=64)
    for thread in range(64):
        lane = thread % 32
        alike = sum(1 << other for other in range(32) if other // 3 == lane // 3)
        up, down = max(lane - 1, 0), lane + 4 if lane % 8 < 4 else lane
        assert result[9 * thread : 9 * thread + 9] == [
            (1 << 10) - 1,
            alike - (1 << 32 if alike >= 1 << 31 else 0),
            up,
            down,
            lane // 8 * 8,
            1,
            0,
            24,
            15 if lane < 16 else 0,
        ]


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        ("divergent barrier", "waits in __syncthreads"),
        ("barrier without all", "has exited"),
        ("exited lane", "names lane 2., which has exited"),
        ("foreign mask", "does not name its own lane"),
        ("lane outside of mask", "from lane 20, which is not in the mask"),
        ("deadlock", "deadlock: .*__syncwarp.*__syncthreads|deadlock: .*__syncthreads"),
        ("failed check", "expected no negative value"),
    ],
)
def test_undefined_behaviour_is_an_error_with_file_and_line(ordered_emulator, kernel, text):
    with pytest.raises(RuntimeError, match=rf"(?s){text}.*faults\.cpp:\d+"):
        ordered_emulator.start(kernel, [-1] * 32)


def test_a_mask_must_not_name_lanes_that_the_block_does_not_have(emulator):
    with pytest.raises(RuntimeError, match="names lane 16, which the block doesn't have"):
        emulator.start("sum of warp", VALUES[:16], block=16)


def test_the_emulator_runs_on_after_an_error(emulator):
    with pytest.raises(RuntimeError):
        emulator.start("deadlock", VALUES[:32])
    assert emulator.start("reverse", VALUES[:64], block=64) == VALUES[:64][::-1]


def test_uninitialised_shared_memory_holds_other_garbage_in_each_order(emulator):
    results = []
    for order in ("forward", "reverse", "random:1"):
        emulator.set_order(order)
        results.append(emulator.start("uninitialised", [0] * 32))
    assert len({result[7] for result in results}) == 3
    assert all(result[:7] + result[8:] == [1] * 31 for result in results)


def test_a_race_shows_and_a_claim_does_not(emulator):
    places, claims = set(), set()
    for order in ("forward", "reverse"):
        emulator.set_order(order)
        places.add(emulator.start("race", [99] * 32)[0])
        claims.add(emulator.start("claim", [99] * 32)[0])
    assert places == {0, 31}
    assert claims == {0}


def test_impossible_grids_are_refused(emulator):
    with pytest.raises(RuntimeError, match="no device starts such a grid"):
        emulator.start("race", [0] * 2048, block=2048)


def test_host_calls_are_counted(emulator):
    emulator.start("copy and wait", VALUES)
    emulator.start("reverse", VALUES, grid=2, block=64)
    counted = {what: emulator.count(what) for what in ("launches", "memsets", "copies")}
    assert counted == {"launches": 1, "memsets": 1, "copies": 1}
    assert emulator.count("synchronisations") == 1


IN_PROTECTED_MEMORY = """
import ctypes, mmap, sys
library = ctypes.CDLL(sys.argv[1])
pages = mmap.mmap(-1, mmap.PAGESIZE)
values = (ctypes.c_int * 64).from_buffer(pages)
address = ctypes.c_void_p(ctypes.addressof(values))
library.s3fd_emulator_protect(address, ctypes.c_size_t(mmap.PAGESIZE))
library.s3fd_emulator_start.restype = ctypes.c_char_p
assert library.s3fd_emulator_start(sys.argv[2].encode(), address, 1, 64) is None
library.s3fd_emulator_protect(address, ctypes.c_size_t(0))
print(values[0])
"""


def test_only_kernels_reach_memory_of_the_device(build_emulator):
    library = build_emulator("plain", "_faults") / "_faults.so"

    def run(kernel: str) -> int:
        command = [sys.executable, "-c", IN_PROTECTED_MEMORY, library]
        return subprocess.run([*command, kernel], capture_output=True).returncode

    assert run("reverse") == 0
    assert run("copy and wait") == 0
    assert run("host reads") == -11  # a segmentation fault
