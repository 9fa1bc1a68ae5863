"""Graphs of ONNX made of our operators, run by ONNX Runtime."""

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

from s3fd.export import onnx_operators
from s3fd.export.graph import Graph
from s3fd.export.onnx_operators import OPSET, Suppression, constant
from s3fd.ops import AnchorGrid
from s3fd.ops.reference.decode_detections import score_to_margin

GRID = AnchorGrid(
    strides=(4, (8, 16), 32),
    sizes=(16, (32, (40, 20)), 128),
    offset=0.4,
    backgrounds=(3, 1, 2),
)
CELLS = [(12, 20), (3, 10), (2, 3)]


def run(build, *inputs):
    """The outputs of a graph that `build` makes of its inputs."""
    graph = Graph("")
    names = [f"input{index}" for index in range(len(inputs))]
    outputs = build(graph, *names)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    kinds = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64}
    made = helper.make_graph(
        graph.nodes,
        "test",
        [
            helper.make_tensor_value_info(name, kinds[value.dtype], [None] * value.dim())
            for name, value in zip(names, inputs, strict=True)
        ],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return [torch.from_numpy(np.asarray(output)) for output in session.run(None, feeds)]


def decode(logits, deltas, *, limits=None, padded=False, grid=GRID, kinds=None, **settings):
    """The detections that a graph of ONNX finds in maps, with `kinds` labels and anchors, too."""
    suppression = Suppression(
        score_to_margin(settings.get("score_threshold", 0.5)),
        settings.get("iou_threshold", 0.3),
        settings.get("candidates", 5000),
        settings.get("keep", 750),
    )

    def build(graph, *maps):
        bounds = None if limits is None else constant(graph, limits, np.float32)
        half = len(maps) // 2
        found = onnx_operators.decode_detections(
            graph, maps[:half], maps[half:], grid, bounds, (0.1, 0.2), suppression, **kinds or {}
        )
        more = ()
        if kinds is not None:
            more = onnx_operators.labels_and_indices(graph, found, kinds["classes"])
        if padded:
            return onnx_operators.pad_detections(graph, found, suppression.keep, *more)
        return found.boxes, found.scores, found.splits, *more

    return run(build, *logits, *deltas)


def assert_same(actual, expected):
    assert len(actual) == len(expected) >= 3
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)
