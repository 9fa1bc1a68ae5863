"""What the suppression of boxes, voting and the decoding of detections ask of the device."""

from __future__ import annotations

import json

COUNT = """
import torch
from host_calls import calls
from s3fd.ops import AnchorGrid, batched_nms, decode_detections, nms, soft_nms, vote_boxes

corner = torch.rand(3000, 2) * 500
boxes, scores = torch.cat([corner, corner + 20], dim=1), torch.rand(3000)
calls(nms, boxes[:1024], scores[:1024], 0.5)
calls(nms, boxes, scores, 0.5)
calls(batched_nms, boxes, scores, torch.arange(3000) % 7, 0.5)
calls(nms, boxes, scores, 0.5, padded=True, keep=100)
calls(vote_boxes, boxes, scores, 0.5)
calls(soft_nms, boxes[:200], scores[:200])
logits, deltas = torch.randn(2, 2, 40, 40), torch.zeros(2, 4, 40, 40)
grid = AnchorGrid((16,), (16,))
calls(decode_detections, [logits], [deltas], grid)
calls(decode_detections, [logits], [deltas], grid, padded=True)
calls(decode_detections, [logits], [deltas], grid, padded=True, candidates=1000)
labelled = {"activation": "sigmoid", "classes": 2, "return_indices": True}
calls(decode_detections, [logits], [deltas], grid, **labelled, candidates=1000)
calls(decode_detections, [logits], [deltas], grid, **labelled, candidates=1000, padded=True)
"""


def test_only_the_size_of_an_output_is_waited_for_and_padded_forms_wait_for_nothing(
    emulated_python,
):
    done = emulated_python("-c", COUNT)
    calls = [json.loads(line).values() for line in done.stdout.splitlines()]
    launches, memsets, copies, synchronisations, allocations = zip(*calls, strict=True)
    assert launches == (4, 6, 6, 6, 8, 3, 6, 5, 9, 11, 10), done.stderr
    assert copies == synchronisations == (1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 0)
    assert memsets == (0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
    # The memory of the suppression, in voting that of the groups, and the outputs.
    assert allocations == (2, 2, 2, 3, 4, 3, 4, 4, 4, 6, 6)
