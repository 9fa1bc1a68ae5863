"""The operators of s3fd, written in those of ONNX.

Each function takes `op`, which makes a node of every standard operator that is called on it:
`onnxscript`'s opset while torch exports a model, `s3fd.export.graph.Graph` for a file of our own.
Other arguments that are values of the graph are of type `Any`, as they differ between these two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from s3fd.ops.grid import GridDescription
from s3fd.ops.reference.l2_normalize import EPSILON, TINY

OPSET = 18
"""The version of the standard operators that all is written in."""

_LOWEST = float(np.finfo(np.float32).min)


class Suppression(NamedTuple):
    """How many boxes stay, and which."""

    lowest_margin: float
    iou_threshold: float
    candidates: int
    keep: int


class Found(NamedTuple):
    """The detections of a batch, one image's after the other's, best first.

    Attributes:
        boxes: float32 ``[N, 4]``.
        scores: float32 ``[N]``.
        images: int64 ``[N, 1]``, the image of each.
        splits: int64 ``[B + 1]``: image ``b`` has rows ``splits[b]`` to ``splits[b + 1]``.
        where: int64 ``[N, 2]``, image and candidate of each.
        numbers: int64 ``[B, K]``, of each candidate: that of its anchor times the number of
            classes, and its class.
    """

    boxes: Any
    scores: Any
    images: Any
    splits: Any
    where: Any
    numbers: Any


def constant(op: Any, value: npt.ArrayLike, dtype: npt.DTypeLike) -> Any:
    """A tensor that is part of the graph."""
    return op.Constant(value=numpy_helper.from_array(np.array(value, dtype)))


def integers(op: Any, *values: int) -> Any:
    """Integers that are part of the graph, as ``[n]``."""
    return constant(op, values, np.int64)


def length(op: Any, value: Any, axis: int) -> Any:
    """The size of one dimension, int64 ``[1]``."""
    return op.Shape(value, start=axis, end=axis + 1)


def decode_detections(
    op: Any,
    logits: Sequence[Any],  # of each level [B, S * (k + C), H, W]; sigmoid: [B, S * C, H, W]
    deltas: Sequence[Any],  # of each level [B, S * 4, H, W]
    grid: GridDescription,
    limits: Any | None,  # float32 [B or 1, 1, 4]: width and height twice
    variances: tuple[float, float],
    suppression: Suppression,
    *,
    classes: int = 1,
    sigmoid: bool = False,
) -> Found:
    """`s3fd.ops.decode_detections`; boxes are clipped to `limits`. Logits have to be finite."""
    lowest, iou_threshold, candidates, keep = suppression
    levels = range(grid.num_levels)
    backgrounds = [0] * grid.num_levels if sigmoid else grid.num_backgrounds
    margins = op.Concat(
        *(_margins(op, logits[i], backgrounds[i], classes) for i in levels), axis=1
    )  # [B, A, C]
    boxes = op.Concat(
        *(_boxes(op, deltas[i], grid, i, variances) for i in levels), axis=1
    )  # [B, A, 4]
    if limits is not None:
        boxes = op.Min(op.Max(boxes, constant(op, 0, np.float32)), limits)

    passes = op.And(
        op.GreaterOrEqual(margins, constant(op, lowest, np.float32)),
        op.Unsqueeze(_has_area(op, boxes), integers(op, 2)),
    )
    margins = op.Where(passes, margins, constant(op, -math.inf, np.float32))
    margins = _reshaped(op, margins)  # [B, A * C]
    count = op.Min(integers(op, candidates), length(op, margins, 1))
    margins, numbers = op.TopK(margins, count, axis=1)  # [B, K], [B, K]
    by_class, anchors = op.Unsqueeze(margins, integers(op, 1)), numbers  # [B, 1, K], [B, K]
    if classes > 1:
        by_class = _by_class(op, by_class, op.Mod(numbers, integers(op, classes)), classes)
        anchors = op.Div(numbers, integers(op, classes))
    boxes = op.GatherND(boxes, op.Unsqueeze(anchors, integers(op, 2)), batch_dims=1)  # [B, K, 4]
    where = _kept(op, boxes, by_class, iou_threshold, keep)  # [N, 2]
    images = op.Gather(where, integers(op, 0), axis=1)  # [N, 1]
    return Found(
        op.GatherND(boxes, where),
        op.Sigmoid(op.GatherND(margins, where)),
        images,
        _splits(op, images, length(op, margins, 0)),
        where,
        numbers,
    )


def labels_and_indices(op: Any, found: Found, classes: int) -> tuple[Any, Any]:
    """Of each detection its class and its anchor, int64 ``[N]``."""
    numbers = op.GatherND(found.numbers, found.where)
    return op.Mod(numbers, integers(op, classes)), op.Div(numbers, integers(op, classes))


def _by_class(op: Any, margins: Any, labels: Any, classes: int) -> Any:
    """The margins of each class, and nothing that passes in the places of the others.

    ``[B, 1, K]`` and ``[B, K]`` to ``[B, C, K]``.
    """
    every = constant(op, np.arange(classes)[:, None], np.int64)  # [C, 1]
    is_of_class = op.Equal(op.Unsqueeze(labels, integers(op, 1)), every)  # [B, C, K]
    return op.Where(is_of_class, margins, constant(op, -math.inf, np.float32))


def _kept(op: Any, boxes: Any, margins: Any, iou_threshold: float, keep: int) -> Any:
    """Image and candidate, int64 ``[N, 2]``, of what suppression by class keeps.

    In this order, in which margins fall: runtimes give it in orders of their own.
    """
    chosen = op.NonMaxSuppression(
        boxes,
        margins,
        integers(op, keep),
        _iou_above(op, iou_threshold),
        constant(op, [_LOWEST], np.float32),  # which leaves out what does not pass
    )  # [N', 3]: image, class, candidate
    where = op.Gather(chosen, integers(op, 0, 2), axis=1)  # [N', 2]
    shape = op.Concat(length(op, boxes, 0), length(op, boxes, 1), axis=0)
    marks = op.Expand(integers(op, 0), shape)
    marks = op.ScatterND(marks, where, op.Expand(integers(op, 1), length(op, chosen, 0)))
    before = op.CumSum(marks, constant(op, 1, np.int64))  # itself among them
    within = op.LessOrEqual(before, integers(op, keep))  # of all classes together
    stays = op.And(op.Cast(marks, to=TensorProto.BOOL), within)
    return op.Transpose(op.NonZero(stays), perm=[1, 0])


def pad_detections(op: Any, found: Found, keep: int, *integers_of: Any) -> tuple[Any, ...]:
    """The same as `s3fd.ops.decode_detections` with `padded`: boxes, scores, counts, and the rest.

    ``[B, keep, 4]``, ``[B, keep]``, ``[B]``; and each of `integers_of`, ``[N]``, as ``[B, keep]``.
    """
    starts = op.Slice(found.splits, integers(op, 0), integers(op, -1), integers(op, 0))  # [B]
    ends = op.Slice(found.splits, integers(op, 1), integers(op, 2**62), integers(op, 0))  # [B]
    rows = op.Unsqueeze(_count_up(op, length(op, found.scores, 0)), integers(op, 1))  # [N, 1]
    places = op.Concat(found.images, op.Sub(rows, op.Gather(starts, found.images)), axis=1)
    shape = op.Concat(length(op, starts, 0), integers(op, keep), axis=0)
    scores = op.Expand(constant(op, 0, np.float32), shape)
    boxes = op.Expand(constant(op, 0, np.float32), op.Concat(shape, integers(op, 4), axis=0))
    return (
        op.ScatterND(boxes, places, found.boxes),
        op.ScatterND(scores, places, found.scores),
        op.Sub(ends, starts),
        *(
            op.ScatterND(op.Expand(integers(op, -1), shape), places, values)
            for values in integers_of
        ),
    )


def nms(op: Any, boxes: Any, scores: Any, iou_threshold: float, keep: Any | None = None) -> Any:
    """`s3fd.ops.nms`: int64 ``[K]``. Computed in float32; scores that are NaN are undefined."""
    order, ranks = _ranked(op, scores)
    by_group = op.Unsqueeze(ranks, integers(op, 0))  # [1, N]
    return _kept_of_ranked(op, boxes, order, by_group, iou_threshold, keep)


def batched_nms(op: Any, boxes: Any, scores: Any, groups: Any, iou_threshold: float) -> Any:
    """`s3fd.ops.batched_nms`: int64 ``[K]``, as `nms`. Groups times boxes are compared with 0."""
    order, ranks = _ranked(op, scores)
    distinct, _, numbers, _ = op.Unique(groups)  # [G], [N]
    every = op.Unsqueeze(_count_up(op, length(op, distinct, 0)), integers(op, 1))  # [G, 1]
    is_of_group = op.Equal(op.Gather(numbers, order), every)  # [G, N]
    by_group = op.Where(is_of_group, ranks, constant(op, 0, np.float32))
    return _kept_of_ranked(op, boxes, order, by_group, iou_threshold)


def _ranked(op: Any, scores: Any) -> tuple[Any, Any]:  # [N] -> int64 [N], float32 [N]
    """Where the scores stand by falling score, and ranks in their place, from N to 1.

    Among scores there may be infinities, which no threshold lets pass; a rank of 0 is no member's.
    """
    count = length(op, scores, 0)
    _, order = op.TopK(op.Cast(scores, to=TensorProto.FLOAT), count, axis=0)
    return order, op.Cast(op.Sub(count, _count_up(op, count)), to=TensorProto.FLOAT)


def _kept_of_ranked(
    op: Any,
    boxes: Any,  # [N, 4]
    order: Any,  # int64 [N]
    by_group: Any,  # float32 [G, N]: ranks of the members of each group
    iou_threshold: float,
    keep: Any | None = None,
) -> Any:  # int64 [K]
    """What stays in its group, by falling score: runtimes give it in orders of their own."""
    count = length(op, order, 0)
    chosen = op.NonMaxSuppression(
        op.Unsqueeze(op.Gather(proper_boxes(op, boxes), order), integers(op, 0)),
        op.Unsqueeze(by_group, integers(op, 0)),
        count if keep is None else keep,
        _iou_above(op, iou_threshold),
        constant(op, [0.5], np.float32),
    )
    positions = op.Gather(chosen, integers(op, 2), axis=1)  # [K, 1]
    ones = op.Expand(integers(op, 1), length(op, chosen, 0))
    marks = op.ScatterND(op.Expand(integers(op, 0), count), positions, ones)  # [N]
    return op.Gather(order, op.Squeeze(op.NonZero(marks), integers(op, 0)))


def _iou_above(op: Any, threshold: float) -> Any:  # float32 [1]
    """The largest float32 that is not above the threshold: an IoU exceeds either or neither.

    Operators compare with the threshold itself, 0.3, and not with the float32 next to it.
    """
    rounded = np.float32(threshold)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.float32(-math.inf))
    return constant(op, [rounded], np.float32)


def proper_boxes(op: Any, boxes: Any) -> Any:  # [N, 4] -> float32 [N, 4]
    """What is degenerate overlaps nothing; ONNX would turn boxes that are inside out."""
    boxes = op.Cast(boxes, to=TensorProto.FLOAT)
    proper = op.Unsqueeze(_has_area(op, boxes), integers(op, 1))
    return op.Where(proper, boxes, constant(op, 0, np.float32))


def pad_indices(op: Any, kept: Any, keep: Any) -> tuple[Any, Any]:
    """The same as `s3fd.ops.nms` with `padded`: ``[keep]``, filled with -1, and their number."""
    count = length(op, kept, 0)
    missing = op.Expand(integers(op, -1), op.Sub(keep, count))
    return op.Concat(kept, missing, axis=0), op.Squeeze(count, integers(op, 0))


def anchors(op: Any, feature_sizes: Sequence[Any], grid: GridDescription) -> Any:
    """`s3fd.ops.AnchorGrid.anchors`, float32 ``[A, 4]``; rows and columns of each level ``[1]``."""
    levels = []
    for level, (rows, columns) in enumerate(
        zip(feature_sizes[::2], feature_sizes[1::2], strict=True)
    ):
        centre = _centres(op, rows, columns, grid, level)  # [H * W, 1, 2]
        half = constant(op, np.array(grid.shapes[level]) / 2, np.float32)  # [S, 2]
        boxes = op.Concat(op.Sub(centre, half), op.Add(centre, half), axis=2)  # [H * W, S, 4]
        levels.append(op.Reshape(boxes, integers(op, -1, 4)))
    return op.Concat(*levels, axis=0)


def decode_boxes(
    op: Any,
    deltas: Any,  # [..., A, 4]
    anchors: Any,  # [..., A, 4]
    variances: tuple[float, float],
    limits: Any | None,  # float32 [4]: width and height twice
) -> Any:
    """`s3fd.ops.decode_boxes`, computed in float32."""
    top_left, bottom_right = op.Split(
        op.Cast(anchors, to=TensorProto.FLOAT), num_outputs=2, axis=-1
    )
    centre = op.Mul(op.Add(top_left, bottom_right), constant(op, 0.5, np.float32))
    size = op.Sub(bottom_right, top_left)
    boxes = _decoded(op, op.Cast(deltas, to=TensorProto.FLOAT), centre, size, variances)
    if limits is not None:
        boxes = op.Min(op.Max(boxes, constant(op, 0, np.float32)), limits)
    return op.CastLike(boxes, deltas)


def max_out_background(op: Any, logits: Any) -> Any:
    """`s3fd.ops.max_out_background`."""
    axis = integers(op, 1)
    backgrounds = op.Slice(logits, integers(op, 0), integers(op, -1), axis)
    face = op.Slice(logits, integers(op, -1), integers(op, 2**62), axis)
    return op.Concat(op.ReduceMax(backgrounds, axis), face, axis=1)


def l2_normalize(op: Any, features: Any, weight: Any) -> Any:
    """`s3fd.ops.l2_normalize`, computed in float32."""
    x = op.Cast(features, to=TensorProto.FLOAT)
    scale = op.Unsqueeze(op.Cast(weight, to=TensorProto.FLOAT), integers(op, 1, 2))
    squares = op.ReduceSumSquare(x, integers(op, 1))
    norm = op.Sqrt(op.Max(squares, constant(op, TINY, np.float32)))
    normalized = op.Div(x, op.Add(norm, constant(op, EPSILON, np.float32)))
    return op.CastLike(op.Mul(normalized, scale), features)


def _margins(op: Any, logits: Any, backgrounds: int, classes: int) -> Any:
    """``[B, H * W * S, C]``: the logit of each class's score."""
    by_anchor = _by_anchor(op, logits, backgrounds + classes)
    if backgrounds == 0:
        return by_anchor
    behind = op.Gather(by_anchor, integers(op, *range(backgrounds)), axis=2)
    background = op.ReduceMax(behind, integers(op, 2))  # [B, A_l, 1]
    classes_of = integers(op, *range(backgrounds, backgrounds + classes))
    own = op.Gather(by_anchor, classes_of, axis=2)  # [B, A_l, C]
    if classes == 1:
        return op.Sub(own, background)
    return op.Sub(own, _logarithm_of_others(op, op.Concat(background, own, axis=2), classes))


def _logarithm_of_others(op: Any, competing: Any, classes: int) -> Any:
    """Of each class, the logarithm of the summed exponentials of all others and the background.

    ``[B, A_l, 1 + C]`` to ``[B, A_l, C]``. Taken off the sum of all, an exponential leaves enough
    digits unless it is the largest one: for that the others are summed anew.
    """
    axis = integers(op, 2)
    first = op.ArgMax(competing, axis=2)  # [B, A_l, 1]
    is_first = op.Equal(first, integers(op, *range(1 + classes)))  # [B, A_l, 1 + C]
    others = op.Where(is_first, constant(op, -math.inf, np.float32), competing)

    def largest_and_exponentials(values: Any) -> tuple[Any, Any]:
        largest = op.ReduceMax(values, axis)
        return largest, op.Exp(op.Sub(values, largest))

    largest, exponentials = largest_and_exponentials(competing)
    rest = op.Sub(op.ReduceSum(exponentials, axis), exponentials)  # [B, A_l, 1 + C]
    second, of_others = largest_and_exponentials(others)
    logarithms = op.Where(
        is_first,
        op.Add(op.Log(op.ReduceSum(of_others, axis)), second),
        op.Add(op.Log(rest), largest),
    )
    return op.Gather(logarithms, integers(op, *range(1, 1 + classes)), axis=2)


def _boxes(
    op: Any, deltas: Any, grid: GridDescription, level: int, variances: tuple[float, float]
) -> Any:  # -> [B, H * W * S, 4]
    shapes = grid.shapes[level]
    by_shape = _by_anchor(op, deltas, len(shapes), 4)  # [B, H * W, S, 4]
    centre = _centres(op, length(op, deltas, 2), length(op, deltas, 3), grid, level)
    size = constant(op, shapes, np.float32)  # [S, 2]
    boxes = _decoded(op, by_shape, centre, size, variances)
    return _reshaped(op, boxes, 4)


def _decoded(op: Any, deltas: Any, centre: Any, size: Any, variances: tuple[float, float]) -> Any:
    """Boxes of deltas, ``[..., 4]``, and of their anchors' centres and sizes, ``[..., 2]``."""
    shift, scale = op.Split(deltas, num_outputs=2, axis=-1)
    step = op.Mul(op.Mul(shift, constant(op, variances[0], np.float32)), size)
    centre = op.Add(centre, step)
    grown = op.Exp(op.Mul(scale, constant(op, variances[1], np.float32)))
    half = op.Mul(op.Mul(size, grown), constant(op, 0.5, np.float32))
    return op.Concat(op.Sub(centre, half), op.Add(centre, half), axis=-1)


def _centres(op: Any, rows: Any, columns: Any, grid: GridDescription, level: int) -> Any:
    """``[H * W, 1, 2]``: x and y of every cell's anchors."""
    shape = op.Concat(rows, columns, axis=0)
    offset = constant(op, grid.offset, np.float32)
    stride_x, stride_y = grid.axis_strides[level]

    def along(cells: Any, stride: int, other_axis: int) -> Any:  # [H, W, 1]
        numbers = op.Cast(_count_up(op, cells), to=TensorProto.FLOAT)
        places = op.Mul(op.Add(numbers, offset), constant(op, stride, np.float32))
        places = op.Expand(op.Unsqueeze(places, integers(op, other_axis)), shape)
        return op.Unsqueeze(places, integers(op, 2))

    centres = op.Concat(along(columns, stride_x, 0), along(rows, stride_y, 1), axis=2)
    return op.Reshape(centres, integers(op, -1, 1, 2))


def _by_anchor(op: Any, level_map: Any, *row: int) -> Any:
    """Channels last, in float32: ``[B, C, H, W]`` to ``[B, n, *row]``."""
    channels_last = op.Transpose(op.Cast(level_map, to=TensorProto.FLOAT), perm=[0, 2, 3, 1])
    return _reshaped(op, channels_last, *row)


def _reshaped(op: Any, value: Any, *row: int) -> Any:
    """``[B, ...]`` to ``[B, n, *row]``. In a batch of 0 images no -1 can stand for n."""
    numbers = op.ReduceProd(op.Shape(value, start=1))  # int64 [1], of an image
    count = op.Div(numbers, integers(op, math.prod(row)))
    shape = op.Concat(length(op, value, 0), count, integers(op, *row), axis=0)
    return op.Reshape(value, shape, allowzero=1)


def _has_area(op: Any, boxes: Any) -> Any:  # [..., 4] -> [...]
    """Whether width, height and area are positive, and the area finite."""
    zero = constant(op, 0, np.float32)
    corners = [op.Gather(boxes, constant(op, i, np.int64), axis=-1) for i in range(4)]
    width, height = op.Sub(corners[2], corners[0]), op.Sub(corners[3], corners[1])
    area = op.Mul(width, height)
    finite = op.Less(area, constant(op, math.inf, np.float32))
    sides = op.And(op.Greater(width, zero), op.Greater(height, zero))
    return op.And(sides, op.And(op.Greater(area, zero), finite))


def _splits(op: Any, images: Any, batch: Any) -> Any:  # [N, 1], [1] -> [B + 1]
    """How many detections belong to the images before each, and to all."""
    numbers = _count_up(op, op.Add(batch, integers(op, 1)))  # [B + 1]
    before = op.Cast(op.Less(images, numbers), to=TensorProto.INT64)  # [N, B + 1]
    return op.ReduceSum(before, integers(op, 0), keepdims=0)


def _count_up(op: Any, count: Any) -> Any:  # int64 [1] -> int64 [n]
    zero, one = constant(op, 0, np.int64), constant(op, 1, np.int64)
    return op.Range(zero, op.Squeeze(count, integers(op, 0)), one)
