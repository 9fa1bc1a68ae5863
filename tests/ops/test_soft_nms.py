"""Soft-NMS: the rule replayed box by box."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from elsewhere import run_elsewhere
from hypothesis import given
from hypothesis import strategies as st
from nms_cases import DTYPES, clustered, integers, make, mixed, sets
from torch import Tensor

from s3fd.ops import reference, soft_nms

OPERATOR = torch.ops.s3fd.soft_nms.default
DECAYS = ("gaussian", "linear")


def ious(boxes: Tensor) -> np.ndarray:
    """Of all pairs, in float32."""
    x1, y1, x2, y2 = boxes.float().numpy().T
    with np.errstate(all="ignore"):
        area = (x2 - x1) * (y2 - y1)
        proper = (x2 > x1) & (y2 > y1) & (area > 0) & (area < np.inf)
        width = np.minimum(x2, x2[:, None]) - np.maximum(x1, x1[:, None])
        height = np.minimum(y2, y2[:, None]) - np.maximum(y1, y1[:, None])
        shared = np.maximum(width, np.float32(0)) * np.maximum(height, np.float32(0))
        iou = shared / (area + area[:, None] - shared)
    return np.where(proper & proper[:, None], iou, np.float32(0))


def replay_linear(
    boxes: Tensor, scores: Tensor, iou_threshold: float, score_threshold: float
) -> tuple[list[int], list[float]]:
    """The linear rule, whose steps IEEE arithmetic defines to the last bit."""
    overlaps, left = ious(boxes), dict(enumerate(scores.double().tolist()))
    indices, at = [], []
    while left := {i: score for i, score in left.items() if score >= score_threshold}:
        best = max(left, key=lambda i: (left[i], -i))
        indices.append(best)
        at.append(left.pop(best))
        for i in left:
            if float(overlaps[best, i]) >= iou_threshold:
                left[i] *= float(np.float32(1) - overlaps[best, i])
    return indices, at


def follow_gaussian(
    boxes: Tensor, scores: Tensor, sigma: float, score_threshold: float, answer: list[int]
) -> list[float]:
    """The scores at which the boxes of an answer come out, each of which has to be a best one."""
    overlaps = ious(boxes).astype(np.float64)
    fallen = scores.double().numpy().copy()
    at = []
    for best in answer:
        assert fallen[best] >= fallen.max() * (1 - 1e-5)
        at.append(float(fallen[best]))
        fallen *= np.exp(-(overlaps[best] ** 2) / sigma)
        fallen[best] = -1
    assert (fallen < score_threshold * (1 + 1e-5)).all()
    return at


def with_weights(boxes_and_scores: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    boxes, scores = boxes_and_scores
    return boxes, scores / (len(scores) + 1) * 8


weighted = sets.map(with_weights)


@given(weighted, st.sampled_from([0.0, 0.25, 1 / 3, 0.5, 1.0]), st.sampled_from([0, 0.001, 0.25]))
def test_linear_decay_follows_the_rule_to_the_last_bit(sets, iou_threshold, score_threshold):
    boxes, scores = sets
    options = {"iou_threshold": iou_threshold, "score_threshold": score_threshold}
    expected = replay_linear(boxes, scores, **options)
    for function in (soft_nms, reference.soft_nms):
        indices, at = function(boxes, scores, decay="linear", **options)
        assert indices.tolist() == expected[0]
        assert torch.equal(at, torch.tensor(expected[1], dtype=torch.float64).to(scores.dtype))


@given(weighted, st.sampled_from([0.01, 0.5, 3.0]), st.sampled_from([0.001, 0.25]))
def test_gaussian_decay_follows_the_rule(sets, sigma, score_threshold):
    boxes, scores = sets
    for function in (soft_nms, reference.soft_nms):
        indices, at = function(boxes, scores, sigma=sigma, score_threshold=score_threshold)
        expected = follow_gaussian(boxes, scores, sigma, score_threshold, indices.tolist())
        assert len(indices.unique()) == len(indices)
        np.testing.assert_allclose(at, expected, rtol=1e-5)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("kind", [mixed, clustered, integers])
@pytest.mark.parametrize("n", [31, 32, 33, 300, 1030])
def test_many_boxes_come_out_as_from_the_twin(decay, kind, n: int) -> None:
    boxes, scores = with_weights(make(kind, n, seed=n))
    scores = scores + torch.arange(n) * 1e-4  # what nearly ties is for the exponential to decide
    options: Any = {"decay": decay, "score_threshold": 0.1}
    found = soft_nms(boxes, scores, **options)
    expected = reference.soft_nms(boxes, scores, **options)
    assert 5 < len(found[0]) <= n
    assert (found[1].diff() <= 0).all()
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-5, atol=0)


def test_scores_of_the_paper() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 4], [50, 50, 60, 60]])  # IoU 1/2
    scores = torch.tensor([0.75, 0.5, 0.625])
    indices, at = soft_nms(boxes, scores)
    assert indices.tolist() == [0, 2, 1]
    assert at.tolist() == pytest.approx([0.75, 0.625, 0.5 * math.exp(-0.25 / 0.5)])
    indices, at = soft_nms(boxes, scores, decay="linear")
    assert at.tolist() == [0.75, 0.625, 0.25]


def test_an_iou_equal_to_the_threshold_lets_scores_fall() -> None:
    boxes, scores = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]]), torch.tensor([0.5, 0.5])
    assert soft_nms(boxes, scores, decay="linear", iou_threshold=0.5)[1].tolist() == [0.5, 0.25]
    above = math.nextafter(0.5, 1)
    assert soft_nms(boxes, scores, decay="linear", iou_threshold=above)[1].tolist() == [0.5, 0.5]


def test_a_score_equal_to_the_threshold_comes_out() -> None:
    boxes, scores = torch.tensor([[0.0, 0, 2, 1], [0, 0, 1, 1]]), torch.tensor([0.5, 0.5])
    options: Any = {"decay": "linear", "iou_threshold": 0.5}
    assert soft_nms(boxes, scores, score_threshold=0.25, **options)[0].tolist() == [0, 1]
    above = math.nextafter(0.25, 1)
    assert soft_nms(boxes, scores, score_threshold=above, **options)[0].tolist() == [0]
    assert soft_nms(boxes, scores, score_threshold=0.6)[0].tolist() == []


def test_the_lower_index_of_equal_scores_comes_out_also_after_they_fell() -> None:
    best = [[0.0, 0, 8, 8]]
    boxes = torch.tensor([*best, [0, 0, 8, 4], [0, 4, 8, 8], [40, 0, 48, 8]])
    scores = torch.tensor([0.9, 0.5, 0.5, 0.25])
    indices, at = soft_nms(boxes, scores, decay="linear")
    assert indices.tolist() == [0, 1, 2, 3]
    assert at[1:].tolist() == [0.25, 0.25, 0.25]
    many = torch.ones(3000)
    apart = torch.arange(3000.0)[:, None] * 10 + torch.tensor([0.0, 0, 1, 1])
    assert torch.equal(soft_nms(apart[:200], many[:200])[0], torch.arange(200))


def test_scores_of_zero_come_out_last_where_they_are_wanted() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 8], [0, 0, 8, 8]])
    scores = torch.tensor([-0.0, 0.5, 0.25])
    indices, at = soft_nms(boxes, scores, decay="linear", score_threshold=0)
    assert indices.tolist() == [1, 0, 2]
    assert at.tolist() == [0.5, 0, 0]
    assert not at.signbit().any()


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize(
    "box",
    [(5, 5, 5, 9), (9, 5, 5, 9), (9, 9, 5, 5), (math.nan, 0, 9, 9), (0, 0, math.inf, 9),
     (-3e38, -3e38, 3e38, 3e38), (0, 0, 1e-30, 1e-30)],
)  # fmt: skip
def test_degenerate_boxes_change_no_score(decay, box: tuple[float, ...]) -> None:
    boxes = torch.tensor([box, (0, 0, 10, 10), box, (0, 0, 10, 10)], dtype=torch.float32)
    options: Any = {"decay": decay, "score_threshold": 0.0, "iou_threshold": 0.0}
    indices, at = soft_nms(boxes, torch.tensor([0.5, 0.75, 0.625, 0.25]), **options)
    assert indices.tolist() == [1, 2, 0, 3]
    assert at[:3].tolist() == [0.75, 0.625, 0.5]
    assert at[3] < 0.25


@pytest.mark.parametrize("dtype", DTYPES)
def test_scores_are_rounded_once_to_their_dtype(dtype: torch.dtype) -> None:
    boxes, scores = with_weights(make(clustered, 80))
    boxes, scores = boxes.to(dtype), scores.to(dtype)
    indices, at = soft_nms(boxes, scores)
    wide, at_wide = soft_nms(boxes.float(), scores.double())
    assert at.dtype == dtype
    assert torch.equal(indices, wide)
    assert torch.equal(at, at_wide.to(dtype))


@pytest.mark.parametrize("function", [soft_nms, reference.soft_nms])
def test_scores_that_go_in_stay_as_they_are(function) -> None:
    boxes, scores = with_weights(make(clustered, 40, dtype=torch.float64))
    before = scores.clone()
    indices, at = function(boxes, scores)
    assert (at < scores[indices]).any()
    assert torch.equal(scores, before)


@pytest.mark.parametrize("function", [soft_nms, reference.soft_nms])
def test_nothing_in_gives_nothing_out(function) -> None:
    indices, at = function(torch.zeros(0, 4), torch.zeros(0))
    assert indices.shape == at.shape == (0,)
    assert indices.dtype == torch.int64


def test_huge_scores_and_a_sigma_without_end() -> None:
    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 8]])
    scores = torch.tensor([3e38, 2e38])
    assert torch.equal(soft_nms(boxes, scores, sigma=math.inf)[1], scores)
    assert soft_nms(boxes, scores, sigma=1e-6)[1].tolist() == scores[:1].tolist()


def test_strides_and_opcheck() -> None:
    boxes, scores = torch.rand(4, 20).T * 20, torch.rand(20, 3)[:, 1]
    found = soft_nms(boxes, scores)
    expected = soft_nms(boxes.contiguous(), scores.contiguous())
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    for gaussian in (True, False):
        torch.library.opcheck(OPERATOR, (boxes, scores, gaussian, 0.5, 0.3, 0.001))
    torch.library.opcheck(OPERATOR, (boxes[:0], scores[:0], True, 0.5, 0.3, 0.001))


def test_no_gradient_flows_and_autocast_changes_nothing() -> None:
    boxes, scores = with_weights(make(clustered, 40))
    expected = soft_nms(boxes, scores)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = soft_nms(boxes.requires_grad_(), scores.requires_grad_())
    assert not found[1].requires_grad
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_compiles_into_one_graph_for_any_size() -> None:
    def best(boxes: Tensor, scores: Tensor) -> Tensor:
        indices, at = soft_nms(boxes, scores)
        return boxes[indices] * at[:, None]

    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(best, fullgraph=True, dynamic=True, backend="aot_eager")
        for n in (7, 30):
            boxes, scores = with_weights(make(clustered, n))
            assert torch.equal(compiled(boxes, scores), best(boxes, scores))


def test_devices_without_a_kernel_run_that_of_the_cpu() -> None:
    boxes, scores = with_weights(make(clustered, 60))
    expected = soft_nms(boxes, scores, decay="linear")
    found = run_elsewhere(OPERATOR, boxes, scores, False, 0.5, 0.3, 0.001)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("decay", DECAYS)
def test_cuda_lets_out_what_the_cpu_does(decay) -> None:
    boxes, scores = with_weights(make(mixed, 3000))
    found = soft_nms(boxes.cuda(), scores.cuda(), decay=decay)
    for result, expected in zip(found, soft_nms(boxes, scores, decay=decay), strict=True):
        assert torch.equal(result.cpu(), expected)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"boxes": [[0.0, 0, 1, 1]]}, TypeError, "boxes: expected a floating-point tensor"),
        ({"boxes": torch.zeros(2, 4).int()}, TypeError, "boxes: expected a floating-point tensor"),
        ({"boxes": torch.zeros(2, 5)}, ValueError, r"boxes: .*\[2, 5\]"),
        ({"scores": torch.zeros(3)}, ValueError, r"scores: .*\[3\]"),
        ({"scores": torch.zeros(2, device="meta")}, ValueError, "scores: .* on cpu"),
        ({"decay": "cosine"}, ValueError, "decay: expected 'gaussian' or 'linear'"),
        ({"sigma": 0.0}, ValueError, "sigma"),
        ({"sigma": "0.5"}, TypeError, "sigma"),
        ({"iou_threshold": 1.5}, ValueError, r"iou_threshold: .*\[0, 1\]"),
        ({"score_threshold": -0.1}, ValueError, "score_threshold"),
        ({"score_threshold": math.nan}, ValueError, "score_threshold"),
    ],
)
def test_bad_arguments_are_named(change, error: type[Exception], text: str) -> None:
    arguments = {"boxes": torch.zeros(2, 4), "scores": torch.zeros(2)}
    with pytest.raises(error, match=text):
        soft_nms(**(arguments | change))


@pytest.mark.parametrize("bad", [-1e-30, math.nan, math.inf])
@pytest.mark.parametrize(("size", "place"), [(1, 0), (33, 32), (1025, 1024)])
def test_one_score_that_cannot_fall_is_found_wherever_it_is(bad, size, place) -> None:
    boxes = torch.tensor([0.0, 0, 8, 8]).repeat(size, 1)
    scores = torch.linspace(1, 0, size)
    scores[place] = bad
    with pytest.raises(ValueError, match="scores: expected finite numbers >= 0"):
        soft_nms(boxes, scores)


def test_meta_tensors_are_refused_for_their_unknown_number_of_boxes() -> None:
    with pytest.raises(RuntimeError, match=r"s3fd::soft_nms.*meta"):
        soft_nms(torch.empty(3, 4, device="meta"), torch.empty(3, device="meta"))


def test_the_kernel_itself_refuses_what_it_could_not_read() -> None:
    with pytest.raises(RuntimeError, match="s3fd::soft_nms"):
        OPERATOR(torch.zeros(3, 3), torch.zeros(3), True, 0.5, 0.3, 0.001)
    with pytest.raises(RuntimeError, match="floating-point"):
        OPERATOR(torch.zeros(3, 4).long(), torch.zeros(3), True, 0.5, 0.3, 0.001)
