"""What the multi-box loss and l2_normalize ask of the device."""

from __future__ import annotations

import json

import pytest

COUNT = """
import sys
import torch
from host_calls import calls
from s3fd.ops import l2_normalize, multibox_loss

dtype = getattr(torch, sys.argv[1])
logits = torch.randn(2, 3000, 2, dtype=dtype, requires_grad=True)
deltas = torch.randn(2, 3000, 4, dtype=dtype, requires_grad=True)
anchors = torch.tensor([0.0, 0, 16, 16]).expand(3000, 4)
matched = torch.full((2, 3000), -1)
matched[:, ::100] = 0
boxes = [torch.tensor([[0.0, 0, 16, 16]])] * 2
loss = calls(lambda: sum(multibox_loss(logits, deltas, anchors, boxes, matched)))
calls(loss.backward)
features = torch.randn(1, 16, 9, 9, dtype=dtype, requires_grad=True)
output = calls(lambda: l2_normalize(features, torch.ones(16, requires_grad=True)))
calls(output.sum().backward)
"""


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_launches_are_few_and_nothing_waits_or_copies(emulated_python, dtype):
    done = emulated_python("-c", COUNT, dtype)
    calls = [json.loads(line) for line in done.stdout.splitlines()]
    assert [call["launches"] for call in calls] == [3, 1, 1, 2], done.stderr
    assert [call["memsets"] for call in calls] == [1, 0, 0, 0]
    # The mask, the counts, two losses and the memory of the mining; two gradients; the output; the
    # gradients, and the rows of sums.
    assert [call["allocations"] for call in calls] == [5, 2, 1, 3]
    assert all(call["copies"] == call["synchronisations"] == 0 for call in calls)
