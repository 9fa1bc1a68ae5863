"""Several processes that train one model: started by torchrun, joined by torch.distributed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.constants import default_pg_timeout
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from s3fd.devices import resolve_device
from s3fd.messages import shown
from s3fd.training.attempt import fresh_store

_Value = TypeVar("_Value")

# The others wait while the first process of a machine decodes a whole data set.
_PATIENCE = timedelta(days=2)


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them. A run of one needs no torchrun.

    Attributes:
        device: where this process computes.
        rank: number of this process, from 0; the first one writes all files.
        size: how many there are.
        local_rank: number of this process on its machine, from 0.
        patient: the group in which they wait for what may take hours.
        store: of torchrun's agent, which outlives the processes that it restarts.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    local_rank: int = 0
    patient: dist.ProcessGroup | None = None
    store: Store | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Adds up a tensor over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def gather(self, value: _Value) -> list[_Value]:
        """What every process passed, by rank, on the first one; nothing on the others."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.gather_object(value, values if self.is_first else None)
        return values if self.is_first else []

    def gather_to_all(self, value: _Value, *, patient: bool = False) -> list[_Value]:
        """What every process passed, by rank, on all of them.

        Args:
            value: what can be pickled.
            patient: wait for hours, if need be.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.patient if patient else None)
        return values

    def has_begun(self, run: str) -> bool:
        """Whether torchrun has restarted this process, after the dead ones had begun that run."""
        return self.store is not None and is_restart() and self.store.check([_begun(run)])

    def note_begun(self, run: str) -> None:
        """Lets those that torchrun will start when this process is dead know of the run."""
        if self.store is not None:
            self.store.set(_begun(run), "")

    def on_first(self, function: Callable[[], _Value]) -> _Value:
        """Calls a function on the first process alone, and gives its result to all.

        What it raises is raised on all of them, so that none is left waiting.
        """
        if self.size == 1:
            return function()
        answer: list[Any] = [None, None]  # the result, or the error
        if self.is_first:
            try:
                answer[0] = function()
            except Exception as error:
                answer[1] = error
        dist.broadcast_object_list(answer)
        if answer[1] is not None:
            raise answer[1]
        result: _Value = answer[0]
        return result

    def on_each_machine(self, function: Callable[[], object]) -> None:
        """Calls a function on the first process of each machine; all go on when all are done.

        What it raises is raised on all of them.
        """
        error: Exception | None = None
        if self.local_rank == 0:
            try:
                function()
            except Exception as raised:
                error = raised
        for raised_there in filter(None, self.gather_to_all(error, patient=True)):
            raise raised_there


@contextmanager
def join_processes(device: str | None) -> Iterator[Processes]:
    """Joins the processes that torchrun has started, as its environment variables say.

    They talk through gloo, and GPUs through NCCL. Without these variables this process is alone.

    Args:
        device: ``"cpu"``, ``"cuda"``, or None: CUDA where there is a GPU. Each process of a machine
            takes the GPU of its own number; a process that is alone may name one, ``"cuda:1"``.

    Raises:
        ValueError: there is no such device, or one for several processes.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        yield Processes(resolve_device(device))
        return
    if device not in (None, "cpu", "cuda"):
        raise ValueError(
            f"device: expected 'cpu' or 'cuda' under torchrun, got {shown(device)}; "
            "each process takes the GPU of its own number"
        )
    own = resolve_device(device)
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if own.type == "cuda":
        own = resolve_device(f"cuda:{local_rank}")
        torch.cuda.set_device(own)
    store, rank, size = next(rendezvous("env://"))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo",
        store=fresh_store(store, rank, size, default_pg_timeout),
        rank=rank,
        world_size=size,
    )
    patient = dist.new_group(backend="gloo", timeout=_PATIENCE)
    while isinstance(store, PrefixStore):  # torch hides from each attempt what others have written
        store = store.underlying_store
    try:
        yield Processes(own, rank, size, local_rank, patient, store)
        dist.barrier()  # nobody leaves while another one still talks to it
    finally:
        dist.destroy_process_group()


def _begun(run: str) -> str:
    return f"s3fd begun {run}"


def is_restart() -> bool:
    """Whether torchrun has restarted this process, after one of them had died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def is_first() -> bool:
    """Whether this process is the one that speaks, before or after it has joined the others."""
    return os.environ.get("RANK", "0") == "0"
