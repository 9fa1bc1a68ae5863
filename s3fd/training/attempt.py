"""A part of torch's store that belongs to this start of the processes alone.

When torchrun restarts its workers, it gives them the store that the dead ones have used (torch
2.13 and 2.14: the agent makes one store, and keeps it). A process that looks for another one in it
may find the address of a dead one, and wait for it until it gives up, or for ever.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from torch.distributed.distributed_c10d import PrefixStore, Store

_ATTEMPT = "s3fd attempt"  # the name of the last attempt that a first process has begun
_PAUSE = 0.05  # seconds between two looks


def fresh_store(store: Store, rank: int, size: int, timeout: timedelta) -> Store:
    """A store under a name that the first process has just made up, known to all who live.

    The others can't tell an old name from a new one. So each one shows a number of its own under
    the name that it has found, and takes the name as soon as the first process has answered with
    all of these numbers; a dead one does not, and what it once answered holds other numbers.

    Raises:
        TimeoutError: the processes were not complete in time.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    own = uuid.uuid4().hex
    if rank == 0:
        store.set(_ATTEMPT, own)
    while time.monotonic() < deadline:
        if store.check([_ATTEMPT]):
            name = own if rank == 0 else store.get(_ATTEMPT).decode()
            fresh = PrefixStore(name, store)
            fresh.set(f"{rank}", own)
            if rank == 0 and fresh.check([f"{other}" for other in range(size)]):
                numbers = [fresh.get(f"{other}").decode() for other in range(size)]
                fresh.set("complete", " ".join(numbers))
            if fresh.check(["complete"]) and own in fresh.get("complete").decode().split():
                return fresh
        time.sleep(_PAUSE)
    raise TimeoutError(
        f"process {rank} of {size} has not met the others within {timeout.total_seconds():.0f} s; "
        "see in their logs whether they have started"
    )
