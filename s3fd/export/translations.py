"""What torch.onnx.export has to be told about the operators of s3fd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnx import TensorProto
from onnxscript import opset18

from s3fd.export import onnx_operators
from s3fd.export.onnx_operators import Found, Suppression, integers
from s3fd.export.onnx_soft_nms import soft_nms
from s3fd.ops.grid import unpack_grid

op: Any = opset18


def onnx_translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Translations into standard operators of ONNX, for models that call `s3fd.ops`.

    Of ``decode_detections`` with all its options and ``nms``, padded or not, ``batched_nms``,
    ``soft_nms``, ``decode_boxes``, ``AnchorGrid.anchors``, ``l2_normalize`` and
    ``max_out_background``. They are of opset 18, and compute in float32.

    Returns:
        What ``torch.onnx.export`` takes as ``custom_translation_table``.

    Example:
        >>> import torch
        >>> from s3fd.export import onnx_translations
        >>> torch.ops.s3fd.nms.default in onnx_translations()
        True
    """
    operators = torch.ops.s3fd
    return {
        operators.anchors.default: _anchors,
        operators.batched_nms.default: _batched_nms,
        operators.decode_boxes.default: _decode_boxes,
        operators.decode_detections.default: _decode_detections,
        operators.decode_detections_padded.default: _decode_detections_padded,
        operators.decode_detections_labelled.default: _decode_labelled,
        operators.decode_detections_labelled_padded.default: _decode_labelled_padded,
        operators.nms.default: _nms,
        operators.nms_padded.default: _nms_padded,
        operators.soft_nms.default: _soft_nms,
        operators.l2_normalize.default: _l2_normalize,
        operators.max_out_background.default: _max_out_background,
    }


def _found(
    logits: Sequence[Any],
    deltas: Sequence[Any],
    grid: Sequence[float],
    margin: float,
    iou_threshold: float,
    candidates: int,
    keep: int,
    image_sizes: Sequence[Any] | None,
    centre_variance: float,
    size_variance: float,
    classes: int = 1,
    sigmoid: bool = False,
) -> Found:
    return onnx_operators.decode_detections(
        op,
        logits,
        deltas,
        unpack_grid(grid),
        None if image_sizes is None else _limits(image_sizes),
        (centre_variance, size_variance),
        Suppression(margin, iou_threshold, candidates, keep),
        classes=classes,
        sigmoid=sigmoid,
    )


def _limits(image_sizes: Sequence[Any]) -> Any:  # -> [B, 1, 4]
    """Height and width of each image, which may be values of the graph."""
    lengths = op.Concat(*map(_integer, image_sizes), axis=0)
    sizes = op.Reshape(lengths, integers(op, -1, 1, 2))
    return op.Cast(op.Gather(sizes, integers(op, 1, 0, 1, 0), axis=2), to=TensorProto.FLOAT)


def _integer(value: Any) -> Any:  # -> int64 [1]
    """An integer of the program, which is a number or a value of the graph."""
    if isinstance(value, int):
        return integers(op, value)
    return op.Reshape(op.Cast(value, to=TensorProto.INT64), integers(op, 1))


def _decode_detections(*arguments: Any) -> tuple[Any, ...]:
    found = _found(*arguments)
    return found.boxes, found.scores, found.splits


def _decode_detections_padded(*arguments: Any) -> tuple[Any, ...]:
    keep = arguments[6]
    return onnx_operators.pad_detections(op, _found(*arguments), keep)


def _decode_labelled(*arguments: Any) -> tuple[Any, ...]:
    found, classes = _found(*arguments), arguments[10]
    return (
        *(found.boxes, found.scores, found.splits),
        *onnx_operators.labels_and_indices(op, found, classes),
    )


def _decode_labelled_padded(*arguments: Any) -> tuple[Any, ...]:
    found, keep, classes = _found(*arguments), arguments[6], arguments[10]
    integers_of = onnx_operators.labels_and_indices(op, found, classes)
    return onnx_operators.pad_detections(op, found, keep, *integers_of)


def _anchors(like: Any, feature_sizes: Sequence[Any], grid: Sequence[float]) -> Any:
    sizes = [_integer(size) for size in feature_sizes]
    return op.CastLike(onnx_operators.anchors(op, sizes, unpack_grid(grid)), like)


def _decode_boxes(
    deltas: Any,
    anchors: Any,
    centre_variance: float,
    size_variance: float,
    image_size: Sequence[Any] | None,
) -> Any:
    limits = None if image_size is None else op.Reshape(_limits(image_size), integers(op, 4))
    variances = centre_variance, size_variance
    return onnx_operators.decode_boxes(op, deltas, anchors, variances, limits)


def _batched_nms(boxes: Any, scores: Any, groups: Any, iou_threshold: float) -> Any:
    return onnx_operators.batched_nms(op, boxes, scores, groups, iou_threshold)


def _nms(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    return onnx_operators.nms(op, boxes, scores, iou_threshold)


def _nms_padded(boxes: Any, scores: Any, iou_threshold: float, keep: Any) -> tuple[Any, Any]:
    most = _integer(keep)
    kept = onnx_operators.nms(op, boxes, scores, iou_threshold, most)
    return onnx_operators.pad_indices(op, kept, most)


def _soft_nms(*arguments: Any) -> tuple[Any, Any]:
    return soft_nms(op, *arguments)


def _l2_normalize(features: Any, weight: Any) -> Any:
    return onnx_operators.l2_normalize(op, features, weight)


def _max_out_background(logits: Any) -> Any:
    return onnx_operators.max_out_background(op, logits)
