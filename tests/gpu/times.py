"""How long the GPU takes for every operator: ``python times.py FOLDER``.

By replay of a CUDA graph of many calls, which the host has no part in; call by call as a program
makes them, the host's time included; and by the profiler, kernel by kernel. Operators whose answers
have a size that depends on data can't be captured. torchvision's nms stands beside ours if it is
installed.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from operator_calls import OperatorCalls
from torch import Tensor

SIZES = (1_000, 10_000, 34_125)
CALLS = 20


def milliseconds(function: Callable[[], object], rounds: int = 9) -> float:
    """The median of some rounds, on the device."""
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def by_replay(call: Callable[[], object]) -> float | None:
    """Of a call; None if it can't be captured."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for _ in range(CALLS):
                call()
    except RuntimeError:
        torch.cuda.synchronize()
        return None
    graph.replay()
    return milliseconds(graph.replay) / CALLS


def of_host(call: Callable[[], object]) -> float:
    """What a call takes before it returns, in milliseconds, while the device has nothing to do."""
    times = []
    for _ in range(30):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def kernels_of(call: Callable[[], object]) -> dict[str, float]:
    """Microseconds of each kernel of a call."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        for _ in range(CALLS):
            call()
        torch.cuda.synchronize()
    return {
        event.key: event.self_device_time_total / CALLS
        for event in profile.key_averages()
        if event.self_device_time_total > 0
    }


def calls_of(size: int) -> dict[str, Callable[[], object]]:
    calls: dict[str, Callable[[], object]] = {}
    calls.update(OperatorCalls(size, place=lambda tensor: tensor.cuda()).calls)
    if find_spec("torchvision") is not None:
        from torchvision.ops import nms

        corner = torch.rand(size, 2, device="cuda") * 6 * size**0.5
        boxes: Tensor = torch.cat([corner, corner + 8 + 24 * torch.rand_like(corner)], dim=1)
        scores = torch.rand(size, device="cuda")
        calls["torchvision's nms"] = lambda: nms(boxes, scores, 0.4)
    return calls


def main(folder: Path) -> None:
    figures = []
    for size in SIZES:
        for name, call in calls_of(size).items():
            call()
            figures.append(
                {
                    "operator": name,
                    "size": size,
                    "replay_ms": by_replay(call),
                    "call_ms": milliseconds(call),
                    "host_ms": of_host(call),
                    "kernels_us": kernels_of(call),
                }
            )
            show = {key: figures[-1][key] for key in ("replay_ms", "call_ms", "host_ms")}
            print(
                f"{name:28} {size:7}", *(f"{k} {v or 0:.4f}" for k, v in show.items()), flush=True
            )
            (folder / "times.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
