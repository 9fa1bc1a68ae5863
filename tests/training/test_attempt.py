"""Processes that meet in a store where an earlier attempt of theirs has left its traces."""

import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from s3fd.training.attempt import fresh_store

SOON = timedelta(seconds=0.3)
LATER = timedelta(seconds=60)


def meet(store, delays, timeout=LATER):
    """One thread a process, each of which comes after a delay; what each one writes and reads."""
    met = [None] * len(delays)

    def join(rank):
        fresh = fresh_store(store, rank, len(delays), timeout)
        fresh.set(f"address {rank}", "fresh")
        met[rank] = fresh

    threads = [
        threading.Timer(delay, join, args=(rank,)) for rank, delay in enumerate(delays)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return met


def addresses(met):
    return [[store.get(f"address {other}") for other in range(len(met))] for store in met]


@pytest.mark.parametrize("delays", [(0, 0), (0.3, 0, 0.1), (0, 0.3, 0.1, 0.2)])
def test_all_meet_in_the_same_place(delays):
    met = meet(dist.HashStore(), delays)
    assert addresses(met) == [[b"fresh"] * len(delays)] * len(delays)


def test_nothing_of_an_earlier_attempt_is_seen():
    store = dist.HashStore()
    for old in meet(store, (0, 0, 0)):
        for rank in range(3):
            old.set(f"address {rank}", "stale")
    # The first process is the last to come: the others find the old name, and an old answer.
    met = meet(store, (0.5, 0, 0))
    assert addresses(met) == [[b"fresh"] * 3] * 3


def test_an_attempt_that_was_never_complete_is_forgotten():
    store = dist.HashStore()
    for rank in (0, 1):
        with pytest.raises(TimeoutError, match=f"process {rank} of 3 has not met"):
            fresh_store(store, rank, 3, SOON)
    met = meet(store, (0.5, 0, 0))
    assert addresses(met) == [[b"fresh"] * 3] * 3


def test_a_process_alone_meets_itself():
    fresh_store(dist.HashStore(), 0, 1, SOON).set("key", "value")
