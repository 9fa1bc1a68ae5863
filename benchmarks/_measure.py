"""Time, memory, and what the machine could do at best."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import torch

Call: TypeAlias = Callable[[], Any]

_TURN_SECONDS = 0.005  # a fast implementation is called again until its turn has taken that
_TURN_CALLS = 20
_MOST_TURNS = 50
_COPY_BYTES = 256 << 20


def time_once(call: Call, device: torch.device) -> float:
    """Seconds that one call takes; on a GPU, between two events, with nothing in the L2 cache."""
    if device.type == "cuda":
        _flush_cache(device)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


_flush: dict[torch.device, torch.Tensor] = {}


def _flush_cache(device: torch.device) -> None:
    """Overwrites the L2 cache. The host has launched the call before the device is done with it."""
    if device not in _flush:
        size = 4 * torch.cuda.get_device_properties(device).L2_cache_size
        _flush[device] = torch.empty(size, dtype=torch.uint8, device=device)
    _flush[device].zero_()


def time_alternating(
    calls: Mapping[str, Call], device: torch.device, budget: float
) -> dict[str, list[float]]:
    """Seconds of each call, measured in turns, so that a busy moment of the machine meets all.

    Args:
        calls: what to time, warmed up.
        device: where they run.
        budget: seconds for all; each is called at least once whatever that takes.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    started = time.perf_counter()
    for _ in range(_MOST_TURNS):
        for name, call in calls.items():
            turn = 0.0
            for _ in range(_TURN_CALLS):
                seconds = time_once(call, device)
                times[name].append(seconds)
                turn += seconds
                if turn >= _TURN_SECONDS:
                    break
        if time.perf_counter() - started >= budget:
            break
    return times


def peak_extra_bytes(call: Call, device: torch.device) -> int | None:
    """How far memory grows during one call, its result included.

    On Linux that is the peak of the resident set (``VmHWM``, reset through
    ``/proc/self/clear_refs``) less the resident set before: it sees tensors, C++ vectors and
    everything else, in steps of pages. What earlier calls left in the allocator goes back to the
    system first, and huge pages are off meanwhile. On a GPU it is what torch's allocator counts.

    Args:
        call: what to measure, warmed up.
        device: where it runs.

    Returns:
        None where the system does not tell.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    if not _can_reset_peak():
        return None
    with _without_huge_pages():
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status_bytes("VmRSS")
        result = call()
        peak = _status_bytes("VmHWM")
        del result
    return max(peak - before, 0)


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy of a large tensor reads and writes."""
    source = torch.ones(_COPY_BYTES // 4, device=device)
    target = torch.zeros_like(source)
    times = [time_once(lambda: target.copy_(source), device) for _ in range(9)]
    return 2 * _COPY_BYTES / median(times)


def bandwidths(device: torch.device) -> dict[str, float]:
    """Copy bandwidth with the threads that are set and, on the CPU, with one."""
    measured = {"all_threads": copy_bandwidth(device)}
    if device.type == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        measured["one_thread"] = copy_bandwidth(device)
        torch.set_num_threads(threads)
    return measured


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures belong to."""
    described = {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "at_most": os.environ.get("S3FD_INSTRUCTION_SET", ""),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }
    if device.type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
    return described


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", info.read_text()) if info.exists() else None
    return found.group(1) if found else platform.processor() or platform.machine()


def _can_reset_peak() -> bool:
    return sys.platform == "linux" and os.access("/proc/self/clear_refs", os.W_OK)


def _status_bytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) * 1024 if found else 0


@contextmanager
def _without_huge_pages() -> Any:
    set_thp_disable = 41  # PR_SET_THP_DISABLE of <linux/prctl.h>
    libc = ctypes.CDLL(None)
    libc.prctl(set_thp_disable, 1, 0, 0, 0)
    try:
        yield
    finally:
        libc.prctl(set_thp_disable, 0, 0, 0, 0)
