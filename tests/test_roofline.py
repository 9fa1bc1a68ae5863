"""What benchmarks/roofline.py predicts from: lines in the kernels, and traces of the twins."""

from __future__ import annotations

import pytest
import torch

from benchmarks import roofline
from s3fd.ops import reference

SIZES = {"A": 100, "B": 2, "C": 3, "G": 5, "H": 10, "K": 7, "N": 5000, "W": 10, "k": 3}


def test_every_operator_has_a_formula_that_can_be_evaluated():
    names = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("s3fd::")]
    found = roofline.formulas()
    assert {name.removeprefix("s3fd::") for name in names} == set(found)
    for formula in found.values():
        work = roofline.work_of(formula, SIZES)
        assert work.launches >= 1
        assert work.bytes > 0
        assert work.operations > 0


def test_a_trace_counts_calls_bytes_and_waits():
    x = torch.zeros(1000)
    (add,) = roofline.trace(lambda a: a + a, (x,))
    assert (add.launches, add.bytes, add.waits) == (1, 3 * 4000, 0)
    calls = roofline.trace(lambda a: a.view(10, 100).t().nonzero().sum().item(), (x,))
    assert [call.waits for call in calls] == [1, 0, 1]


def test_an_expanded_tensor_is_read_as_often_as_it_is_smaller():
    (add,) = roofline.trace(torch.add, (torch.zeros(1000, 1000), torch.zeros(1, 1000)))
    assert add.bytes == 2 * 4_000_000 + 4000


def test_times_are_launches_bytes_or_operations_whichever_take_longest():
    gpu = roofline.Gpu("made up", 1e12, 1e12)
    assert roofline.seconds(roofline.Work(2, 1e3), gpu) == pytest.approx(6e-6)
    assert roofline.seconds(roofline.Work(2, 1e9), gpu) == pytest.approx(1e-3)
    assert roofline.seconds(roofline.Work(2, 1e3, 1e9, waits=1), gpu) == pytest.approx(1.02e-3)
    assert roofline.eager_seconds([roofline.Work(1, 8)] * 3, gpu) == pytest.approx(18e-6)


def test_the_loss_in_pytorch_waits_for_the_device_and_launches_dozens():
    logits, deltas = torch.zeros(1, 20, 2), torch.zeros(1, 20, 4)
    anchors = torch.tensor([0.0, 0, 16, 16]).repeat(20, 1)
    matched = torch.tensor([0] + 19 * [-1])[None]
    calls = roofline.trace(
        reference.multibox_loss, (logits, deltas, anchors, [anchors[:1]], matched)
    )
    assert sum(call.launches for call in calls) > 30
    assert sum(call.waits for call in calls) >= 1
