"""A whole detector as one file of ONNX: an image in, boxes and scores out."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

import s3fd
from s3fd.defaults import IOU_THRESHOLD, SCORE_THRESHOLD
from s3fd.export import onnx_operators
from s3fd.export.graph import Graph
from s3fd.export.onnx_operators import OPSET, Found, Suppression, constant, integers, length
from s3fd.export.translations import onnx_translations
from s3fd.files import whole_file
from s3fd.models import S3FD
from s3fd.models.s3fd import inference_copy
from s3fd.ops._checks import VARIANCES, check_number
from s3fd.ops.reference.decode_detections import CANDIDATES, KEEP, score_to_margin
from s3fd.padding import PADDING_STEPS
from s3fd.settings import check_choice

InputType: TypeAlias = Literal["uint8", "float32"]
"""Of the images that a file takes; their values are 0 to 255 in both."""

FilePrecision: TypeAlias = Literal["float32", "float16"]
"""Of the weights in a file, and of the maps that its network computes."""

_EXAMPLE = (2, 3, 256, 320)  # no map has a single row, which would be taken for a rule


def export_onnx(
    model: S3FD,
    path: str | os.PathLike[str],
    *,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    input_type: InputType = "uint8",
    precision: FilePrecision = "float32",
) -> None:
    """Writes a detector as a file that ONNX Runtime and others run without torch and s3fd.

    It takes ``images [B, H, W, 3]``, RGB, 0 to 255, of any size and number, and gives ``boxes
    [N, 4]`` (``(x1, y1, x2, y2)`` in pixels), ``scores [N]`` and ``splits [B + 1]``: image ``b``
    has rows ``splits[b]`` to ``splits[b + 1]``, best first. What `s3fd.FaceDetector` finds in
    float32 with ``max_size=None``, but for rounding: images are not shrunk. All is in standard
    operators of opset 18.

    Args:
        model: a copy of it is exported, with its batch norms folded.
        path: of the file, which is replaced if it is there.
        score_threshold: faces with a smaller score are dropped; in [0, 1].
        iou_threshold: of two faces that overlap more, the one with the larger score stays.
        input_type: of the images: ``"uint8"`` or ``"float32"``.
        precision: of the network: ``"float32"`` or ``"float16"``. Pixels, boxes and scores are
            computed in float32 in both.

    Raises:
        TypeError: the model is no network.
        ValueError: an argument is not as described.
    """
    check_number("score_threshold", score_threshold, minimum=0, maximum=1)
    check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)
    check_choice("input_type", input_type, get_args(InputType))
    check_choice("precision", precision, get_args(FilePrecision))
    with torch.device("cpu"):  # whatever torch's default is
        model = inference_copy(model).cpu()
        if precision == "float16":
            model.half()
        network = _exported_network(model).graph
    suppression = Suppression(score_to_margin(score_threshold), iou_threshold, CANDIDATES, KEEP)
    before, after = Graph("before/"), Graph("after/")
    x = _preprocess(before, model)
    if precision == "float16":
        x = before.Cast(x, to=TensorProto.FLOAT16)
    before.name(x, network.input[0].name)
    maps = [output.name for output in network.output]
    half = len(maps) // 2
    found = onnx_operators.decode_detections(
        after, maps[:half], maps[half:], model.grid, _limits(after), VARIANCES, suppression
    )
    graph = _joined(before, network, after, found, input_type)
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="s3fd",
        producer_version=s3fd.__version__,
        ir_version=9,
    )
    helper.set_model_props(
        proto,
        {
            "backbone": model.config.backbone,
            "channel_order": "RGB",
            "score_threshold": str(score_threshold),
            "iou_threshold": str(iou_threshold),
            "precision": precision,
        },
    )
    onnx.checker.check_model(proto, full_check=True)
    with whole_file(Path(path)) as file:
        file.write(proto.SerializeToString())


def _exported_network(model: S3FD) -> onnx.ModelProto:
    """From preprocessed images to the maps of all levels, logits first."""
    example = torch.zeros(_EXAMPLE, dtype=next(model.parameters()).dtype)
    dynamic = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},),
            custom_translation_table=onnx_translations(),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of packages that are not used here, and of its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _preprocess(op: Graph, model: S3FD) -> Any:  # -> [B, 3, H', W']
    """`S3FD.preprocess`, and the padding of `s3fd.padding`."""
    config = model.config
    x = op.Cast(op.Transpose("images", perm=[0, 3, 1, 2]), to=TensorProto.FLOAT)
    if config.channel_order == "BGR":
        x = op.Gather(x, integers(op, 2, 1, 0), axis=1)
    x = op.Sub(x, constant(op, np.reshape(config.mean, (3, 1, 1)), np.float32))
    if config.scale != 1.0:
        x = op.Mul(x, constant(op, config.scale, np.float32))
    added = [_added(op, length(op, "images", axis)) for axis in (1, 2)]
    pads = op.Concat(integers(op, 0, 0, 0, 0, 0, 0), *added, axis=0)
    return op.Pad(x, pads)


def _added(op: Graph, side: Any) -> Any:  # int64 [1] -> [1]
    """What a side is padded by."""
    *bounded, (_, largest) = PADDING_STEPS
    step = integers(op, largest)
    for longest, smaller in reversed(bounded):
        fits = op.LessOrEqual(side, integers(op, int(longest)))
        step = op.Where(fits, integers(op, smaller), step)
    # The remainder takes the sign of the divisor: what is missing to the next multiple.
    return op.Mod(op.Neg(side), step)


def _limits(op: Graph) -> Any:  # float32 [1, 1, 4]
    """Width and height of the images, twice: the borders of their boxes."""
    size = op.Concat(length(op, "images", 2), length(op, "images", 1), axis=0)
    limits = op.Cast(op.Concat(size, size, axis=0), to=TensorProto.FLOAT)
    return op.Unsqueeze(limits, integers(op, 0, 1))


def _joined(
    before: Graph, network: onnx.GraphProto, after: Graph, found: Found, input_type: InputType
) -> onnx.GraphProto:
    after.name(found.boxes, "boxes")
    after.name(found.scores, "scores")
    after.name(found.splits, "splits")
    pixel = TensorProto.UINT8 if input_type == "uint8" else TensorProto.FLOAT
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [*before.nodes, *network.node, *after.nodes],
        "s3fd",
        [value("images", pixel, ["batch", "height", "width", 3])],
        [
            value("boxes", TensorProto.FLOAT, ["faces", 4]),
            value("scores", TensorProto.FLOAT, ["faces"]),
            value("splits", TensorProto.INT64, ["batch + 1"]),
        ],
        initializer=network.initializer,
    )
