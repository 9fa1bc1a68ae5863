"""Predicts what each operator takes on GPUs, and what the PyTorch that it replaces takes.

    python benchmarks/roofline.py [--markdown FILE]

A prediction, not a measurement. For our kernels it evaluates the lines `roofline:` at the head of
csrc/cuda/*.cuh, which count launches, bytes that move through memory and operations. For PyTorch it
runs the twin on the CPU, on the same inputs as benchmarks/run.py, and counts the kernels that the
same calls would launch, the bytes of their arguments and results, and the times that they would
have to wait for the device. docs/cuda-kernels.md says what the model leaves out.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if __package__ in (None, ""):
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import _inputs, decode_detections, l2_normalize, max_out_background
from benchmarks._case import Function, forward_and_backward
from s3fd.ops import reference

_SOURCES = Path(__file__).resolve().parents[1] / "csrc" / "cuda"

# What no data sheet has; measured on many machines, and much the same on all of them.
_LAUNCH = 3e-6  # seconds between the starts of small kernels that C++ launches in a row
_EAGER_CALL = 6e-6  # and of those that Python launches through PyTorch's dispatcher
_WAIT = 20e-6  # for the host to wait for the device, and to get it going again


@dataclass(frozen=True)
class Gpu:
    """From the data sheet; operations are additions or multiplications, which we don't fuse."""

    name: str
    bytes_per_second: float
    operations_per_second: float


GPUS = (
    Gpu("H100", 3.35e12, 33.5e12),
    Gpu("A100", 2.04e12, 9.75e12),
    Gpu("L4", 0.30e12, 15.1e12),
    Gpu("T4", 0.32e12, 4.05e12),
)


@dataclass(frozen=True)
class Work:
    """What is done on the device, and how often the host waits for it."""

    launches: float
    bytes: float
    operations: float = 0
    waits: int = 0


@dataclass(frozen=True)
class Workload:
    """Some operators one after the other, and the twin of all of them."""

    title: str
    operators: tuple[str, ...]
    sizes: Mapping[str, float]
    twin: Function
    arguments: tuple[Any, ...]
    waits: int = 0  # of ours: where the size of the result depends on data


def formulas() -> dict[str, tuple[str, str, str]]:
    """Of each operator: launches, bytes, operations, as expressions in its sizes."""
    found = {}
    pattern = r"// roofline: (\w+) launches=(.+) bytes=(.+) operations=(.+)"
    for path in sorted(_SOURCES.glob("*.cuh")):
        for name, *expressions in re.findall(pattern, path.read_text(encoding="utf-8")):
            launches, moved, operations = expressions
            found[name] = launches, moved, operations
    return found


def work_of(formula: tuple[str, str, str], sizes: Mapping[str, float]) -> Work:
    """A formula with sizes put in."""
    names = {"min": min, "max": max, **sizes}
    launches, moved, operations = (eval(text, {"__builtins__": {}}, names) for text in formula)
    return Work(launches, moved, operations)


class _Trace(TorchDispatchMode):
    """Counts what PyTorch would launch on a GPU for the calls that are made."""

    # Kernels of a call, where they are more than one: sorts and selections by radix.
    KERNELS = {"sort": 6, "topk": 6, "argsort": 6, "nonzero": 4, "cumsum": 2, "_unique2": 8}  # noqa: RUF012
    WAITING = ("nonzero", "_local_scalar_dense", "_unique2", "bincount")
    FREE = ("empty", "empty_like", "detach", "new_empty")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Work] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in self.FREE or function.is_view:
            return result
        kernels, waits = self.KERNELS.get(name, 1), int(name in self.WAITING)
        if name in ("index", "index_put", "index_put_") and any(
            tensor.dtype == torch.bool for tensor in tensors[1:]
        ):
            kernels, waits = kernels + self.KERNELS["nonzero"], 1  # a mask is listed first
        tensors += [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        # An expanded tensor is read as often as it is smaller.
        moved = sum(min(t.nbytes, t.untyped_storage().nbytes()) for t in tensors)
        self.calls.append(Work(kernels, kernels * moved, waits=waits))
        return result


def trace(function: Function, arguments: tuple[Any, ...]) -> list[Work]:
    """What each call of PyTorch's that ``function`` makes would do on a GPU."""
    calls = _Trace()
    with calls:
        function(*arguments)
    return calls.calls


def seconds(work: Work, gpu: Gpu) -> float:
    """Of some of our kernels: launches hide behind work, or work behind launches."""
    busy = max(work.bytes / gpu.bytes_per_second, work.operations / gpu.operations_per_second)
    return max(busy, work.launches * _LAUNCH) + work.waits * _WAIT


def eager_seconds(calls: Sequence[Work], gpu: Gpu) -> float:
    """Of PyTorch's calls, each of which takes its launch or its bytes, whichever is longer."""
    return sum(
        max(_EAGER_CALL, call.launches * _LAUNCH, call.bytes / gpu.bytes_per_second)
        + call.waits * _WAIT
        for call in calls
    )


def workloads(inputs: _inputs.Inputs) -> Iterator[Workload]:
    """The sizes of benchmarks/run.py that people meet most."""
    grid, batch = inputs.grid, 8
    feature_sizes, anchors = inputs.anchors(640)
    num_anchors = anchors.shape[0]
    boxes = inputs.batch(batch, 640)
    mean_boxes = sum(map(len, boxes)) / batch
    sizes = {"A": num_anchors, "B": batch, "G": mean_boxes, "K": 130}

    yield Workload(
        "anchors, 640 px", ("anchors",), sizes, reference.anchors, (grid, feature_sizes, "cpu")
    )
    for name in ("match_grid", "match_anchors"):
        title = f"{name}, 640 px, {batch} images, {sum(map(len, boxes))} faces"
        yield Workload(title, (name,), sizes, reference.match_anchors, (anchors, boxes))
    many, none = inputs.scaled(inputs.image_with(1968), 640), {"B": 1, "G": 1968}
    yield Workload(
        "match_grid, 640 px, one image, 1 968 faces",
        ("match_grid",),
        {**sizes, **none},
        reference.match_anchors,
        (anchors, [many]),
    )
    yield from _suppressions(inputs)
    yield from _maps(inputs)

    logits, deltas, anchors, matched = inputs.head_outputs(boxes, 640)
    yield Workload(
        f"multibox_loss, forward + backward, 640 px, {batch} images",
        ("multibox_loss", "multibox_loss_backward"),
        sizes,
        forward_and_backward(reference.multibox_loss),
        (logits.requires_grad_(), deltas.requires_grad_(), anchors, boxes, matched),
    )
    encoded = deltas.detach()
    yield Workload(
        f"decode_boxes, {batch} x {num_anchors}",
        ("decode_boxes",),
        sizes,
        reference.decode_boxes,
        (encoded, anchors),
    )


def _suppressions(inputs: _inputs.Inputs) -> Iterator[Workload]:
    for count in (1000, 10_000):
        boxes, scores = inputs.clustered(count)
        kept = len(reference.nms(boxes, scores, 0.3))
        sizes = {"N": count, "K": kept}
        arguments = boxes, scores, 0.3
        yield Workload(f"nms, {count} boxes", ("nms",), sizes, reference.nms, arguments, waits=1)
    boxes, scores = inputs.clustered(750)
    yield Workload(
        "vote_boxes, 750 boxes",
        ("vote_boxes",),
        {"N": 750, "K": 40},
        reference.vote_boxes,
        (boxes, scores, 0.3),
        waits=1,
    )


def _maps(inputs: _inputs.Inputs) -> Iterator[Workload]:
    for case in decode_detections.cases(inputs):
        logits = case.arguments[0]
        batch = logits[0].shape[0]
        anchors = sum(level.shape[2] * level.shape[3] for level in logits)
        channels = sum(level[0].numel() for level in logits) / anchors
        sizes = {"B": batch, "A": anchors, "C": channels, "N": 5000, "K": 750}
        yield Workload(
            f"decode_detections, {case.name}",
            ("decode_detections",),
            sizes,
            case.twin,
            case.arguments,
            waits=1,
        )
    for module, name in (
        (max_out_background, "max_out_background"),
        (l2_normalize, "l2_normalize"),
    ):
        for case in module.cases(inputs):
            batch, channels, rows, columns = case.arguments[0].shape
            sizes = {"B": batch, "C": channels, "H": rows, "W": columns, "k": channels - 1}
            yield Workload(
                f"{name}, {case.series}, {case.name}",
                (name, f"{name}_backward"),
                sizes,
                case.around(case.twin),
                case.arguments,
            )


def rows(inputs: _inputs.Inputs) -> list[list[str]]:
    """A row a workload: what both do, and the predicted times and ratio on each GPU."""
    known = formulas()
    made = []
    for workload in workloads(inputs):
        parts = [work_of(known[name], workload.sizes) for name in workload.operators]
        calls = trace(workload.twin, workload.arguments)
        launches = sum(part.launches for part in parts)
        eager = sum(call.launches for call in calls)
        moved = sum(part.bytes for part in parts), sum(call.bytes for call in calls)
        cells = [
            workload.title,
            f"{launches:.0f} / {eager:.0f}",
            f"{moved[0] / 1e6:.3g} / {moved[1] / 1e6:.3g}",
        ]
        for gpu in GPUS:
            ours = sum(seconds(part, gpu) for part in parts) + workload.waits * _WAIT
            theirs = eager_seconds(calls, gpu)
            cells.append(f"{1e6 * ours:.3g} / {1e6 * theirs:.3g} ({theirs / ours:.0f}x)")
        made.append(cells)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/roofline.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    options = parser.parse_args(arguments)
    columns = ["workload", "launches", "MB moved", *(f"{gpu.name}, µs" for gpu in GPUS)]
    made = rows(_inputs.load(quick=True, device=torch.device("cpu")))
    title = "Predicted, not measured: ours / PyTorch's, eager"
    table = Table(*columns, title=title)
    for cells in made:
        table.add_row(*cells)
    console = Console()
    (console if console.is_terminal else Console(width=180)).print(table)
    if options.markdown is not None:
        lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *made]
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        options.markdown.write_text(f"{title}.\n\n{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
