"""Times every operator of s3fd.ops against the same function in PyTorch and in torchvision.

    python benchmarks/run.py                          # all of it, on the CPU
    python benchmarks/run.py --quick --filter nms     # a look at one operator
    python benchmarks/run.py --json out.json --plot out.png --markdown out.md

Answers are compared before anything is timed; where they differ the exit code is 1, and the case
is named. docs/benchmarks.md says how the figures are made.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks import _inputs, _report
from benchmarks._arguments import add_threads, command_line
from benchmarks._case import Case, DisagreementError
from benchmarks._compare import Outcome, compare
from benchmarks._measure import bandwidths, machine
from benchmarks._outputs import output_file, plot_file, write_text

OPERATORS = (
    "anchor_grid",
    "match_anchors",
    "nms",
    "decode_detections",
    "multibox_loss",
    "max_out_background",
    "l2_normalize",
    "box_coding",
    "vote_boxes",
    "soft_nms",
)


_BUSY = 0.5  # mean number of processes that wait for a core


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no CUDA device here; leave it out to use the CPU")
    if options.threads is not None:
        torch.set_num_threads(options.threads)

    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    inputs = _inputs.load(options.quick, device)
    described = machine(device)
    if (described["load"] or 0) > _BUSY:
        console.print(
            f"[yellow]The machine is busy (load {described['load']:.1f}): "
            "what runs on several threads looks slower than it is."
        )
    bandwidth = bandwidths(device)
    lines = _report.headline(described, bandwidth, inputs.source)
    console.print("\n".join(lines), markup=False, highlight=False)

    outcomes: list[Outcome] = []
    failures = 0
    # The compiler warns of every step that it leaves to Python.
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="torch._dynamo")
    budget = 0.1 if options.quick else 3.0
    for case in _cases(inputs, options.filter):
        started = time.perf_counter()
        try:
            outcome = compare(
                case, device, bandwidth["all_threads"], budget, compiled=not options.quick
            )
        except DisagreementError as error:
            failures += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        outcomes.append(outcome)
        console.print(
            f"{case.title}: {_report.summary(outcome)} ({time.perf_counter() - started:.0f} s)",
            style="dim",
            markup=False,
            highlight=False,
        )
    if not outcomes and not failures:
        parser.error(f"--filter: no case has {options.filter!r} in its name")

    _report.table(console, outcomes)
    if options.json is not None:
        _report.write_json(options.json, outcomes, described, bandwidth, inputs.source)
    if options.markdown is not None:
        write_text(options.markdown, _report.markdown(outcomes, lines))
    if options.plot is not None and outcomes:
        _report.plot(options.plot, outcomes, lines[0])
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = command_line("run", __doc__)
    parser.add_argument("--json", type=output_file(), metavar="FILE", help="write all figures")
    parser.add_argument("--plot", type=plot_file, metavar="FILE.png", help="draw time against size")
    parser.add_argument("--markdown", type=output_file(), metavar="FILE", help="write the table")
    parser.add_argument(
        "--filter", default="", metavar="TEXT", help="only cases with TEXT in their names"
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    add_threads(parser)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, few repeats, no torch.compile"
    )
    return parser


def _cases(inputs: _inputs.Inputs, wanted: str) -> Iterator[Case]:
    for operator in OPERATORS:
        module = importlib.import_module(f"benchmarks.{operator}")
        yield from (case for case in module.cases(inputs) if wanted in case.title)


if __name__ == "__main__":
    sys.exit(main())
