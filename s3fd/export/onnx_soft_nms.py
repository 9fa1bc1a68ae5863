"""Soft-NMS as a loop of ONNX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from s3fd.export.graph import Graph
from s3fd.export.onnx_operators import constant, integers, length, proper_boxes

# While torch exports a model, a loop can hand on one value. So all is rows of one, float64 [7, N].
_CORNERS, _SCORE, _AT, _TURN = (0, 1, 2, 3), 4, 5, 6
"""Of each box: its corners; the score it has now, the one it came out with, and when it did."""

_OUT = -1.0
"""Score of what came out; the thresholds are at least 0."""

_NEVER = math.inf


def soft_nms(
    op: Any,
    boxes: Any,
    scores: Any,
    gaussian: bool,
    sigma: float,
    iou_threshold: float,
    score_threshold: float,
) -> tuple[Any, Any]:
    """`s3fd.ops.soft_nms`: int64 ``[K]`` and the scores ``[K]``, which fall in float64 as there."""
    corners = op.Transpose(proper_boxes(op, boxes), perm=[1, 0])  # [4, N]
    count = length(op, scores, 0)
    state = op.Concat(
        op.Cast(corners, to=TensorProto.DOUBLE),
        op.Unsqueeze(op.Cast(scores, to=TensorProto.DOUBLE), integers(op, 0)),
        op.Expand(
            constant(op, [[_OUT], [_NEVER]], np.float64), op.Concat(integers(op, 2), count, axis=0)
        ),
        axis=0,
    )
    # A last column that never comes out: there is a highest score always.
    last = np.array([0.0, 0.0, 0.0, 0.0, _OUT, _OUT, _NEVER])
    nothing = constant(op, last[:, None], np.float64)
    state = op.Concat(state, nothing, axis=1)
    # By name: of inputs by position, torch's recorder takes the first ones twice.
    state = op["Loop"](
        M=op.Squeeze(count, integers(op, 0)),  # turns at most
        cond=_goes_on(op, state, score_threshold),
        v_initial=(state,),
        body=_turn(gaussian, sigma, iou_threshold, score_threshold),
    )
    turns = _row(op, state, _TURN)
    came_out = op.Less(turns, constant(op, _NEVER, np.float64))
    how_many = op.ReduceSum(op.Cast(came_out, to=TensorProto.INT64), integers(op, 0))  # [1]
    _, kept = op.TopK(turns, how_many, axis=0, largest=0)
    return kept, op.CastLike(op.Gather(_row(op, state, _AT), kept), scores)


def _turn(
    gaussian: bool, sigma: float, iou_threshold: float, score_threshold: float
) -> onnx.GraphProto:
    """Takes the best box out; of equal scores, ArgMax gives the first."""
    op = Graph("soft_nms/")
    number, goes, state = "number", "goes", "state"
    fallen = _row(op, state, _SCORE)  # [N + 1]
    best = op.Unsqueeze(op.ArgMax(fallen, axis=0, keepdims=0), integers(op, 0))  # [1]
    at = op.Gather(fallen, best)  # [1]
    corners = op.Cast(op.Gather(state, integers(op, *_CORNERS), axis=0), to=TensorProto.FLOAT)
    iou = _iou(op, corners, op.Gather(corners, best, axis=1))
    if gaussian:
        squares = op.Neg(op.Mul(iou, iou))
        factor = op.Exp(op.Div(squares, constant(op, sigma, np.float32)))
    else:
        one = constant(op, 1, np.float32)
        least = constant(op, iou_threshold, np.float64)
        overlaps = op.GreaterOrEqual(op.Cast(iou, to=TensorProto.DOUBLE), least)
        factor = op.Where(overlaps, op.Sub(one, iou), one)
    # What came out stays out: times a factor of 0 its score would be -0, which reaches a threshold.
    came_out = op.Less(fallen, constant(op, 0, np.float64))
    left = op.Mul(fallen, op.Cast(factor, to=TensorProto.DOUBLE))
    fallen = op.Where(came_out, fallen, left)
    rows = op.Concat(
        *(op.Unsqueeze(values, integers(op, 0)) for values in (
            _put(op, fallen, best, constant(op, [_OUT], np.float64)),
            _put(op, _row(op, state, _AT), best, at),
            _put(op, _row(op, state, _TURN), best, _number(op, number)),
        )),
        axis=0,
    )  # fmt: skip
    after = op.Concat(op.Gather(state, integers(op, *_CORNERS), axis=0), rows, axis=0)
    op.name(_goes_on(op, after, score_threshold), "goes on")
    op.name(after, "after")
    single: list[int] = []
    flag, rest = (TensorProto.BOOL, single), (TensorProto.DOUBLE, [7, None])
    return helper.make_graph(
        op.nodes,
        "turn",
        [
            helper.make_tensor_value_info(number, TensorProto.INT64, single),
            helper.make_tensor_value_info(goes, *flag),
            helper.make_tensor_value_info(state, *rest),
        ],
        [
            helper.make_tensor_value_info("goes on", *flag),
            helper.make_tensor_value_info("after", *rest),
        ],
    )


def _goes_on(op: Any, state: Any, score_threshold: float) -> Any:  # -> bool []
    highest = op.ReduceMax(_row(op, state, _SCORE), integers(op, 0), keepdims=0)
    return op.GreaterOrEqual(highest, constant(op, score_threshold, np.float64))


def _row(op: Any, state: Any, number: int) -> Any:  # -> [N + 1]
    return op.Gather(state, constant(op, number, np.int64), axis=0)


def _put(op: Graph, values: Any, place: Any, value: Any) -> Any:  # [N + 1], [1], [1]
    return op.ScatterElements(values, place, value, axis=0)


def _number(op: Graph, number: Any) -> Any:  # -> float64 [1]
    return op.Unsqueeze(op.Cast(number, to=TensorProto.DOUBLE), integers(op, 0))


def _iou(op: Graph, boxes: Any, box: Any) -> Any:  # [4, N], [4, 1] -> float32 [N]
    """Of boxes that have an area, or are zeros and overlap nothing."""

    def halves(corners: Any) -> Any:
        return op.Split(corners, num_outputs=2, axis=0)

    def area(first: Any, last: Any) -> Any:
        width, height = halves(op.Sub(last, first))
        return op.Squeeze(op.Mul(width, height), integers(op, 0))

    (firsts, lasts), (first, last) = halves(boxes), halves(box)
    low, high = op.Max(firsts, first), op.Min(lasts, last)
    shared = area(low, op.Max(low, high))
    union = op.Sub(op.Add(area(firsts, lasts), area(first, last)), shared)
    return op.Div(shared, op.Max(union, constant(op, np.finfo(np.float32).tiny, np.float32)))
