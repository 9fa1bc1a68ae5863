"""What error messages say about what was passed."""

import math
import warnings

import numpy as np
import pytest
import torch

from s3fd.ops import (
    AnchorGrid,
    _checks,
    batched_nms,
    decode_boxes,
    decode_detections,
    encode_boxes,
    l2_normalize,
    match_anchors,
    max_out_background,
    multibox_loss,
    nms,
    soft_nms,
    vote_boxes,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.zeros(2, 3), "float32 [2, 3] on cpu"),
        (np.zeros((1000, 4)), "ndarray [1000, 4]"),
        (None, "NoneType None"),
        ("x" * 1000, "str 'xxxxxxxxxxxx...xxxxxxxxxxxxx'"),
    ],
)
def test_descriptions_are_short(value: object, text: str) -> None:
    assert _checks.describe(value) == text


def test_a_tensor_on_another_device_is_named_with_the_remedy() -> None:
    first = torch.zeros(2)
    with pytest.raises(ValueError, match=r"scores: expected a tensor on cpu like boxes.*\.to\("):
        _checks.check_device("scores", first.to("meta"), "boxes", first.device)
    _checks.check_device("scores", first, "boxes", first.device)


BOX = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
MAP = torch.zeros(1, 2, 1, 1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("boxes", lambda bad: nms(bad(BOX), torch.ones(1), 0.5)),
        ("scores", lambda bad: nms(BOX, bad(torch.ones(1)), 0.5)),
        ("boxes", lambda bad: nms(bad(BOX), torch.ones(1), 0.5, padded=True)),
        ("groups", lambda bad: batched_nms(BOX, torch.ones(1), bad(torch.zeros(1).long()), 0.5)),
        ("boxes", lambda bad: soft_nms(bad(BOX), torch.ones(1))),
        ("boxes", lambda bad: vote_boxes(bad(BOX), torch.ones(1), 0.5)),
        ("anchors", lambda bad: match_anchors(bad(BOX), [BOX])),
        (r"boxes\[0\]", lambda bad: match_anchors(BOX, [bad(BOX)])),
        ("boxes", lambda bad: encode_boxes(bad(BOX), BOX)),
        ("anchors", lambda bad: decode_boxes(BOX, bad(BOX))),
        ("logits", lambda bad: max_out_background(bad(MAP))),
        ("features", lambda bad: l2_normalize(bad(MAP), torch.ones(2))),
        (
            r"logits\[0\]",
            lambda bad: decode_detections(
                [bad(MAP)], [torch.zeros(1, 4, 1, 1)], AnchorGrid((16,), (16,))
            ),
        ),
    ],
)
def test_sparse_and_nested_tensors_are_refused_by_name(name: str, call) -> None:
    with pytest.raises(TypeError, match=rf"{name}: .*layout sparse_coo; .*\.to_dense\(\)"):
        call(lambda tensor: tensor.to_sparse())
    with pytest.raises(TypeError, match=rf"{name}: .*a nested one; .*\.unbind\(\)"):
        call(lambda tensor: torch.nested.nested_tensor([tensor], layout=torch.strided))


@pytest.mark.parametrize("function", [encode_boxes, decode_boxes])
def test_four_variances_are_told_what_they_would_be_as_two(function) -> None:
    boxes = torch.zeros(1, 4)
    with pytest.raises(ValueError, match=r"variances: .*\(10, 10, 5, 5\) is \(0.1, 0.2\)"):
        function(boxes, boxes, (10, 10, 5, 5))


@pytest.mark.parametrize("bad", [(0.1, math.nan), (math.inf, 0.2), (0.1, 0.0), (-0.1, 0.2)])
def test_variances_are_positive_and_finite(bad: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="variances: expected two positive numbers"):
        encode_boxes(torch.zeros(1, 4), torch.zeros(1, 4), bad)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64, float, int])
def test_numbers_of_numpy_are_numbers(kind: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert AnchorGrid((16,), (kind(16),)).anchors([(1, 1)]).tolist() == [[0, 0, 16, 16]]
        whole = issubclass(kind, int | np.integer)
        for bad in ("0", "-1") if whole else ("0", "-1", "inf", "nan"):
            with pytest.raises(ValueError, match=r"sizes\[0\]: expected .* positive and finite"):
                AnchorGrid((16,), (kind(bad),))


def test_an_integer_that_no_float_holds_is_not_finite() -> None:
    assert not _checks.is_positive(10**400)
    assert _checks.is_positive(10**300)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_number_outside_its_bounds_is_a_value_error(value: float) -> None:
    with pytest.raises(ValueError, match=r"iou_threshold: expected a number in \[0, 1\]"):
        _checks.check_number("iou_threshold", value, minimum=0, maximum=1)


@pytest.mark.parametrize("value", ["0.5", None, True, 1j])
def test_what_is_no_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="iou_threshold: expected a number"):
        _checks.check_number("iou_threshold", value)


def test_integers_are_checked() -> None:
    _checks.check_integer("keep", np.int64(3), minimum=1)
    with pytest.raises(TypeError, match="keep: expected an integer >= 1"):
        _checks.check_integer("keep", 1.0, minimum=1)
    with pytest.raises(ValueError, match="keep: expected an integer >= 1"):
        _checks.check_integer("keep", 0, minimum=1)


def test_a_batch_of_boxes_is_a_list_with_a_tensor_for_each_image() -> None:
    _checks.check_boxes_of_batch("boxes", [torch.zeros(0, 4), torch.zeros(3, 4)], 2)
    with pytest.raises(TypeError, match="boxes: expected a list"):
        _checks.check_boxes_of_batch("boxes", torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="3 images, got 1 tensors"):
        _checks.check_boxes_of_batch("boxes", [torch.zeros(0, 4)], 3)
    with pytest.raises(ValueError, match=r"boxes\[1\]: expected .*\[G, 4\]"):
        _checks.check_boxes_of_batch("boxes", [torch.zeros(0, 4), torch.zeros(3, 5)])


@pytest.mark.filterwarnings("ignore")
def test_sizes_that_jit_trace_has_made_tensors_are_refused_by_name() -> None:
    grid = AnchorGrid(strides=(8,), sizes=(16,))

    def anchors(images: torch.Tensor) -> torch.Tensor:
        return grid.anchors(grid.feature_sizes(images.shape[2:]))

    with pytest.raises(TypeError, match=r"image_size: .*torch\.jit\.trace, which is not supported"):
        torch.jit.trace(anchors, torch.zeros(1, 3, 16, 16))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "call",
    [
        lambda boxes: match_anchors(boxes, [boxes]),
        lambda boxes: match_anchors(boxes, [boxes, boxes], background_iou=0.2, ignore=[boxes] * 2),
        lambda boxes: AnchorGrid(strides=(8,), sizes=(16,)).match([(2, 2)], [boxes]),
        lambda boxes: multibox_loss(
            boxes[None, :, :2], boxes[None], boxes, [boxes], torch.zeros(1, 3).long()
        ),
    ],
)
def test_batches_of_boxes_are_refused_by_name_under_jit_trace(call) -> None:
    boxes = torch.tensor([[0.0, 0, 16, 16], [4, 4, 20, 20], [8, 0, 24, 16]])
    with pytest.raises(TypeError, match=r"boxes\[0\]: .*torch\.jit\.trace, which is not supported"):
        torch.jit.trace(call, (boxes,))


HUGE = 10**400  # which no float holds


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("threshold", lambda: _checks.check_number("threshold", HUGE)),
        ("threshold", lambda: _checks.check_number("threshold", -HUGE, maximum=1)),
        ("variances", lambda: _checks.check_variances((HUGE, 0.2))),
        ("box_weights", lambda: _checks.check_box_weights((HUGE, HUGE, 5, 5), _checks.VARIANCES)),
        (r"strides\[0\]", lambda: AnchorGrid(strides=(HUGE,), sizes=(16,))),
        (r"sizes\[0\]", lambda: AnchorGrid(strides=(8,), sizes=(HUGE,))),
        ("offset", lambda: AnchorGrid(strides=(8,), sizes=(16,), offset=HUGE)),
        ("backgrounds", lambda: AnchorGrid(strides=(8,), sizes=(16,), backgrounds=HUGE)),
    ],
)
def test_an_integer_that_no_float_holds_is_a_value_error_of_one_short_line(name, call) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected .*, got .*\.\.\.") as refused:
        call()
    assert len(str(refused.value)) < 200


def test_a_size_that_no_operator_takes_is_named() -> None:
    grid = AnchorGrid(strides=(8,), sizes=(16,))
    with pytest.raises(ValueError, match=r"feature_sizes\[0\]: .* below 2\^63"):
        grid.anchors([(HUGE, 1)])


def test_the_largest_integers_that_a_float_holds_are_numbers() -> None:
    _checks.check_number("ratio", 2**60)
    _checks.check_number("ratio", -(10**308))
    _checks.check_variances((10**38, 1))


@pytest.mark.parametrize("number", [1e-50, 1e-40, 1e39, 10**308, 0.0, -0.1, math.nan, math.inf])
def test_variances_that_are_0_or_infinite_in_float32_are_refused(number) -> None:
    boxes = torch.tensor([[0.0, 0, 16, 16]])
    for variances in ((number, 0.2), (0.1, number)):
        with pytest.raises(ValueError, match="variances: expected two positive numbers of float32"):
            encode_boxes(boxes, boxes, variances)
    weights = number if number == 0 else 1 / number
    with pytest.raises(ValueError, match="box_weights: expected four positive numbers of float32"):
        _checks.check_box_weights((weights, weights, 5, 5), _checks.VARIANCES)
