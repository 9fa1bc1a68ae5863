"""What a call of an operator costs before and after its kernel: processor time on a tiny problem.

    python benchmarks/host_time.py [--turns N]

Tensors of the CPU with a handful of anchors, for which a kernel has next to nothing to do; on a GPU
it is what the host does while the device works. One thread; a table in Markdown.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line, positive
from s3fd import ops

_CALLS = 50  # of a turn


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = command_line("host_time", __doc__)
    parser.add_argument("--turns", type=positive, default=60, metavar="N", help="default: 60")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| call | µs |\n|---|---:|")
    for name, call in cases().items():
        print(f"| {name} | {microseconds(call, options.turns):.1f} |", flush=True)
    return 0


def cases() -> dict[str, Callable[[], object]]:
    """Calls of the public functions, by name."""
    grid = ops.AnchorGrid.s3fd()
    sizes = grid.feature_sizes((32, 32))
    anchors = grid.anchors(sizes)
    count = anchors.shape[0]
    boxes = [torch.tensor([[2.0, 2, 18, 18]])]
    matched = grid.match(sizes, boxes)
    heads = [
        torch.randn(1, 1 + backgrounds, *size)
        for backgrounds, size in zip(grid.num_backgrounds, sizes, strict=True)
    ]
    shifts = [torch.zeros(1, 4, *size) for size in sizes]
    scores, features, weight = torch.rand(count), torch.randn(1, 4, 2, 2), torch.ones(4)
    logits, deltas = torch.randn(1, count, 2), torch.zeros(1, count, 4)
    graph = logits.clone().requires_grad_(), deltas.clone().requires_grad_()
    return {
        "anchors": lambda: grid.anchors(sizes),
        "match_anchors": lambda: ops.match_anchors(anchors, boxes),
        "AnchorGrid.match": lambda: grid.match(sizes, boxes),
        "encode_boxes": lambda: ops.encode_boxes(anchors, anchors),
        "decode_boxes": lambda: ops.decode_boxes(anchors, anchors),
        "decode_detections": lambda: ops.decode_detections(heads, shifts, grid),
        "multibox_loss": lambda: ops.multibox_loss(logits, deltas, anchors, boxes, matched),
        "multibox_loss, of tensors with a gradient": lambda: ops.multibox_loss(
            *graph, anchors, boxes, matched
        ),
        "max_out_background": lambda: ops.max_out_background(features),
        "l2_normalize": lambda: ops.l2_normalize(features, weight),
        "nms": lambda: ops.nms(anchors, scores, 0.5),
        "vote_boxes": lambda: ops.vote_boxes(anchors, scores, 0.5),
        "soft_nms": lambda: ops.soft_nms(anchors, scores),
    }


def microseconds(call: Callable[[], object], turns: int) -> float:
    """Processor time of a call, the median of the turns."""
    times = []
    for _ in range(turns + 1):  # the first one warms up
        begin = time.thread_time_ns()
        for _ in range(_CALLS):
            call()
        times.append(time.thread_time_ns() - begin)
    return median(times[1:] or times) / _CALLS / 1000


if __name__ == "__main__":
    sys.exit(main())
