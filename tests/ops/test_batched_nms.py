"""Suppression within groups."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nms_cases import LARGE, THRESHOLDS, almost_equal, clustered, make, mixed, replay, sets
from torch import Tensor

from s3fd.ops import batched_nms, reference


@given(sets, st.sampled_from(THRESHOLDS), st.integers(0, 2**32 - 1), st.sampled_from([1, 2**61]))
def test_groups_are_suppressed_each_for_itself(
    boxes_and_scores: tuple[Tensor, Tensor], iou_threshold: float, seed: int, step: int
) -> None:
    boxes, scores = boxes_and_scores
    generator = torch.Generator().manual_seed(seed)
    groups = torch.randint(-3, 4, (len(boxes),), generator=generator) * step
    expected = set()
    for group in groups.unique():
        members = (groups == group).nonzero()[:, 0]
        kept = replay(boxes[members], scores[members], iou_threshold)
        expected.update(members[kept].tolist())
    order = scores.argsort(descending=True, stable=True).tolist()
    result = [i for i in order if i in expected]
    assert batched_nms(boxes, scores, groups, iou_threshold).tolist() == result
    assert reference.batched_nms(boxes, scores, groups, iou_threshold).tolist() == result


def test_many_groups_are_shared_out_among_threads() -> None:
    boxes, scores = make(mixed, 20 * LARGE)
    groups = torch.arange(len(boxes)) % 40
    expected = reference.batched_nms(boxes, scores, groups, 0.5)
    assert torch.equal(batched_nms(boxes, scores, groups, 0.5), expected)


def test_a_box_of_its_own_group_stays() -> None:
    boxes, scores = make(almost_equal, LARGE)
    kept = batched_nms(boxes, scores, torch.arange(LARGE), 0.0)
    assert torch.equal(kept, scores.argsort(descending=True, stable=True))


def test_groups_do_not_round_coordinates() -> None:
    """Shifted far away from each other, as torchvision does, the first two would be equal."""
    boxes = torch.tensor([[0.0, 0, 1, 1], [0.4, 0, 1.4, 1], [0.0, 0, 1e8, 1]])
    groups = torch.tensor([1, 1, 0])
    assert batched_nms(boxes, torch.tensor([3.0, 2, 1]), groups, 0.5).tolist() == [0, 1, 2]


def test_no_groups_give_no_indices() -> None:
    none = torch.zeros(0)
    for function in (batched_nms, reference.batched_nms):
        kept = function(torch.zeros(0, 4), none, none.long(), 0.5)
        assert kept.shape == (0,)
        assert kept.dtype == torch.int64


def test_groups_may_have_strides() -> None:
    boxes, scores = make(clustered, LARGE)
    groups = torch.arange(3 * LARGE).view(LARGE, 3)[:, 1] // 900
    expected = batched_nms(boxes, scores, groups.contiguous(), 0.5)
    assert torch.equal(batched_nms(boxes, scores, groups, 0.5), expected)


BOXES, SCORES = torch.zeros(3, 4), torch.zeros(3)


@pytest.mark.parametrize(
    ("groups", "error"),
    [
        ([0, 0, 0], TypeError),
        (torch.zeros(3), TypeError),
        (torch.zeros(3, dtype=torch.bool), TypeError),
        (torch.zeros(2, dtype=torch.int64), ValueError),
        (torch.zeros(3, 1, dtype=torch.int64), ValueError),
        (torch.zeros(3, dtype=torch.int64, device="meta"), ValueError),
    ],
)
def test_bad_groups_are_named(groups: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="groups"):
        batched_nms(BOXES, SCORES, groups, 0.5)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16, torch.int32, torch.uint8])
def test_groups_may_be_of_any_integer_dtype(dtype: torch.dtype) -> None:
    boxes, scores = make(clustered, 40)
    groups = torch.arange(40) % 3
    found = batched_nms(boxes, scores, groups.to(dtype), 0.3)
    assert torch.equal(found, batched_nms(boxes, scores, groups, 0.3))
