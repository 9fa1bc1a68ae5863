"""What matching, anchors, box coding and max-out background ask of the device."""

from __future__ import annotations

import json

COUNT = """
import torch
from host_calls import calls
from s3fd.ops import AnchorGrid, decode_boxes, encode_boxes, match_anchors, max_out_background

grid = AnchorGrid.s3fd()
sizes = grid.feature_sizes((128, 128))
anchors = calls(grid.anchors, sizes)
boxes = [torch.tensor([[10.0, 10, 40, 40]]), torch.empty(0, 4), torch.tensor([[0.0, 0, 90, 99]])]
calls(grid.match, sizes, boxes)
calls(grid.match, sizes, boxes, top_n=0)
calls(grid.match, sizes, boxes, top_n=0, keep_best="ties")
calls(match_anchors, anchors, boxes, ignore=boxes)
deltas = calls(encode_boxes, anchors + 1, anchors).requires_grad_()
decoded = calls(decode_boxes, deltas, anchors)
calls(decoded.sum().backward)
maps = torch.zeros(2, 4, 5, 5, requires_grad=True)
output = calls(max_out_background, maps)
calls(output.sum().backward)
"""


def test_matching_takes_few_launches_and_nothing_waits_or_copies(emulated_python):
    done = emulated_python("-c", COUNT)
    calls = [json.loads(line).values() for line in done.stdout.splitlines()]
    launches, memsets, copies, synchronisations, _ = zip(*calls, strict=True)
    assert launches == (1, 4, 3, 4, 5, 1, 1, 1, 1, 1), done.stderr
    assert set(memsets) == set(copies) == set(synchronisations) == {0}
