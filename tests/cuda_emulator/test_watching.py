"""What the emulator finds where every access to memory is watched."""

from __future__ import annotations

import ctypes

import pytest

SEEDS = [f"random:{seed}" for seed in range(8)]
BLOCKS = 12


def start(emulator, kernel, **options):
    """The values that a kernel leaves, of one for each seed; or the text of its error."""
    results = []
    for seed in SEEDS:
        emulator.set_order(seed)
        try:
            results.append(emulator.start(kernel, [0] * 64, **options))
        except RuntimeError as error:
            results.append(str(error))
    return results


def test_the_last_block_sees_what_all_have_written(watching_emulator):
    results = start(watching_emulator, "last block", grid=BLOCKS)
    assert [result[1] for result in results] == [BLOCKS * (BLOCKS + 1) // 2] * len(SEEDS)


@pytest.mark.parametrize("fence", ["release", "acquire"])
def test_a_last_block_without_one_of_its_fences_is_a_race(watching_emulator, fence):
    results = start(watching_emulator, f"last block that does not {fence}", grid=BLOCKS)
    assert all("reads what thread 0 of block" in result for result in results)
    assert all("faults.cpp:" in result for result in results)


def test_blocks_add_up_atomically(watching_emulator):
    assert all(result[0] == 32 * BLOCKS for result in start(
        watching_emulator, "atomic sum", grid=BLOCKS
    ))  # fmt: skip


def test_a_sum_by_load_and_store_is_a_race(watching_emulator):
    results = start(watching_emulator, "sum by load and store", grid=BLOCKS)
    assert all("nothing orders them" in result for result in results)


def test_a_ballot_orders_no_memory_and_a_fence_of_the_warp_does(watching_emulator):
    assert all("race" in result for result in start(watching_emulator, "ballot as a fence"))
    assert all(result[:32] == [1] * 32 for result in start(watching_emulator, "fence of a warp"))


@pytest.mark.parametrize(
    ("kernel", "known", "text"),
    [
        ("beyond global", 1, "4 bytes are written outside of all arrays"),
        ("sum of warp", 31, "4 bytes are read outside of all arrays"),
        ("sum of warp", 32, "written in an array that is given to the kernel to read"),
    ],
)
def test_kernels_stay_within_the_arrays_that_they_are_given(watching_emulator, kernel, known, text):
    values = (ctypes.c_int * 64)()
    watching_emulator.set_order("forward")
    watching_emulator.add_array(values, 4 * known)
    try:
        assert text in watching_emulator.error(kernel, values)
    finally:
        watching_emulator.forget_arrays()


@pytest.mark.parametrize("kind", ["plain", "watched"])
def test_a_misaligned_access_is_an_error_with_file_and_line(kind, emulator, watching_emulator):
    found = {"plain": emulator, "watched": watching_emulator}[kind]
    with pytest.raises(RuntimeError, match=r"misaligned for its type\n.*faults\.cpp:\d+"):
        found.start("misaligned", [0] * 64)


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        ("null stream", "another stream than torch's current one"),
        ("memset of null stream", "another stream than torch's current one"),
        ("other device", "another device than the tensors'"),
    ],
)
def test_what_is_asked_of_another_stream_or_device_is_an_error(emulator, kernel, text):
    with pytest.raises(RuntimeError, match=text):
        emulator.start(kernel, [0] * 64)


def test_a_copy_to_the_host_that_is_not_waited_for_is_garbage(emulator):
    assert emulator.start("copy without waiting", [7, 7])[1] not in (0, 7)
