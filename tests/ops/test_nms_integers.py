"""Non-maximum suppression of boxes and scores that are integers, or quantized."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nms_cases import integers, make
from torch import Tensor

from s3fd.ops import batched_nms, nms, reference

Box = tuple[int, int, int, int]

needs_quantized = pytest.mark.skipif(
    not hasattr(torch, "quantize_per_tensor"), reason="this torch has no quantized tensors"
)
pytestmark = pytest.mark.filterwarnings("ignore:.*quantized tensor creation:UserWarning")


def iou(a: Box, b: Box) -> Fraction:
    if any(box[2] <= box[0] or box[3] <= box[1] for box in (a, b)):
        return Fraction(0)
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return Fraction(width * height, areas - width * height)


def replay(boxes: list[Box], scores: list[int], iou_threshold: Fraction) -> list[int]:
    """The greedy rule, exactly."""
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        if all(iou(boxes[i], boxes[j]) <= iou_threshold for j in kept):
            kept.append(i)
    return kept


coordinate = st.integers(0, 20)
scored = st.lists(st.tuples(st.tuples(*[coordinate] * 4), st.integers(0, 9)), max_size=14)


@given(
    scored,
    st.sampled_from([Fraction(0), *(Fraction(n, d) for n, d in [(1, 3), (3, 10), (1, 2), (2, 3)])]),
    st.sampled_from([0, 2**30 - 20, 2**40]),
)
def test_decisions_about_integers_are_exact_wherever_they_are(scored, iou_threshold, place) -> None:
    boxes, scores = [box for box, _ in scored], [score for _, score in scored]
    expected = replay(boxes, scores, iou_threshold)
    table = torch.tensor(boxes, dtype=torch.int64).reshape(-1, 4) + place
    if place < 2**31:
        table = table.int()
    large = torch.tensor(scores, dtype=torch.int64) + 2**50
    assert nms(table, large, float(iou_threshold)).tolist() == expected
    assert reference.nms(table, large, float(iou_threshold)).tolist() == expected
    groups = torch.zeros(len(boxes), dtype=torch.int64)
    assert batched_nms(table, large, groups, float(iou_threshold)).tolist() == expected


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32,
              torch.int64, torch.uint64]
)  # fmt: skip
def test_integers_of_all_dtypes_are_boxes_and_scores(dtype: torch.dtype) -> None:
    boxes, _ = make(integers, 60, dtype=torch.float64)
    boxes = boxes + 30
    scores = torch.arange(60).flip(0) % 50
    expected = nms(boxes, scores.double(), 1 / 3)
    assert 5 < len(expected) < 60
    assert torch.equal(nms(boxes.to(dtype), scores.to(dtype), 1 / 3), expected)
    assert torch.equal(nms(boxes.to(dtype), scores.half(), 1 / 3), expected)
    indices, count = nms(boxes.to(dtype), scores.to(dtype), 1 / 3, padded=True, keep=70)
    assert torch.equal(indices[:count], expected)


def test_no_integers_give_no_indices() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    assert nms(none.reshape(0, 4), none, 0.5).shape == (0,)


def test_the_largest_integers_that_are_exact_are_taken() -> None:
    """Both boxes have the last one, and overlap by 1/2; the next one is refused."""
    last = 2**53 - 1
    boxes = torch.tensor([[0, 0, last, 2], [0, 0, last, 1]])
    assert nms(boxes, torch.tensor([1, last]), 0.51).tolist() == [1, 0]
    assert nms(boxes, torch.tensor([1, -last]), 0.49).tolist() == [0]
    with pytest.raises(ValueError, match=r"boxes: .*less than 2"):
        nms(boxes + torch.tensor([0, 0, 1, 0]), torch.tensor([1, 2]), 0.5)


def quantized_sets(dtype: torch.dtype, scale: float) -> tuple[Tensor, Tensor]:
    boxes, scores = make(integers, 60)
    boxes = torch.quantize_per_tensor(boxes * scale, scale, 30, dtype)
    return boxes, torch.quantize_per_tensor(scores, 0.1, 0, dtype)


@needs_quantized
@pytest.mark.parametrize("dtype", ["quint8", "qint8"])
@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("iou_threshold", [0.2, 1 / 3, 0.5])
def test_quantized_boxes_overlap_as_in_torchvision(dtype, scale, iou_threshold) -> None:
    torchvision = pytest.importorskip("torchvision", reason="compares with torchvision")
    boxes, scores = quantized_sets(getattr(torch, dtype), scale)
    proper = ((boxes.int_repr()[:, 2:].int() - boxes.int_repr()[:, :2].int()) > 0).all(dim=1)
    boxes = boxes[proper]
    ranks = torch.arange(float(len(boxes)))[torch.randperm(len(boxes))]
    scores = torch.quantize_per_tensor(ranks, 1.0, 0, scores.dtype)  # torchvision's ties are free
    expected = torchvision.ops.nms(boxes, scores, iou_threshold)
    assert torch.equal(nms(boxes, scores, iou_threshold), expected)


@needs_quantized
@pytest.mark.parametrize("dtype", ["quint8", "qint8", "qint32"])
def test_the_scale_of_quantized_boxes_changes_nothing(dtype: str) -> None:
    """Multiplied by a scale of 0.1, sides are rounded, and an IoU at the threshold passes it."""
    for scale in (1.0, 0.1, 0.7):
        boxes, scores = quantized_sets(getattr(torch, dtype), scale)
        for threshold in (0.25, 0.5):
            groups = torch.arange(60) % 2
            found = [nms(boxes, scores, threshold), batched_nms(boxes, scores, groups, threshold)]
            plain = boxes.int_repr().float(), scores.int_repr().float()
            assert torch.equal(found[0], nms(*plain, threshold))
            assert torch.equal(found[1], batched_nms(*plain, groups, threshold))


@needs_quantized
def test_boxes_of_several_scales_are_what_they_stand_for() -> None:
    boxes, scores = make(integers, 60)
    scales, zeros = torch.tensor([0.5, 1, 0.25, 0.5]), torch.tensor([30, 20, 90, 70])
    boxes = torch.quantize_per_channel(boxes, scales, zeros, 1, torch.quint8)
    assert torch.equal(nms(boxes, scores, 0.4), nms(boxes.dequantize(), scores, 0.4))
