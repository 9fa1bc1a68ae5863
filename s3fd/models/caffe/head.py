"""The head of a Caffe network: the convolutions behind its anchors, and what their maps mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from s3fd.models.caffe.graph import Convolution, Network, Node
from s3fd.models.caffe.net import CaffeLayer
from s3fd.models.caffe.parts import Parts
from s3fd.ops import AnchorGrid
from s3fd.ops._checks import VARIANCES

_OF_CENTRE, _OF_SIZE = VARIANCES


def read_head(network: Network, features: Sequence[Node], grid: AnchorGrid, parts: Parts) -> int:
    """Adds the head's weights to `parts`.

    The sigmoid of the face's logit alone is the softmax of zero and that logit: where a network has
    sigmoids, the logits of its background, which Caffe ignores, become zero.

    Args:
        network: the whole network.
        features: the nodes that the head reads, finest first.
        grid: the anchors that it has to have.
        parts: where its weights go.

    Returns:
        The background logits of an anchor of the finest level.

    Raises:
        ValueError: it has other anchors, or codes boxes or scores in another way.
    """
    _check_anchors(network, features, grid)
    sigmoid = _has_sigmoid(network)
    all_deltas = [_branch(network, feature, "_mbox_loc") for feature in features]
    all_scores = [_branch(network, feature, "_mbox_conf") for feature in features]
    backgrounds = []
    for scores, shapes in zip(all_scores, grid.num_shapes, strict=True):
        backgrounds.append(scores.outputs() // shapes - 1)
        if backgrounds[-1] > 1:
            _check_max_out(network, scores)
    for level, (deltas, scores) in enumerate(zip(all_deltas, all_scores, strict=True)):
        parts.add(deltas.name, f"head.deltas.{level}", weight=deltas.weight(), bias=deltas.bias())
        weight, bias = scores.weight(), scores.bias()
        if sigmoid:
            classes = backgrounds[level] + 1
            face = torch.arange(1, 1 + len(bias)) % classes == 0
            weight, bias = weight * face[:, None, None, None], bias * face
        parts.add(scores.name, f"head.logits.{level}", weight=weight, bias=bias)
    return backgrounds[0]


def _branch(network: Network, feature: Node, name: str) -> Node:
    """The convolution of the head with this in its name that reads a feature map."""
    branches = [
        node
        for node in network.nodes
        if node.type == "Convolution" and node.is_from(feature) and name in node.name
    ]
    if len(branches) != 1:
        raise ValueError(
            f"expected one convolution with {name!r} in its name that reads {feature.name!r}, got "
            f"{[node.name for node in branches]}"
        )
    branches[0].check_convolution(feature, Convolution(), relu=False)
    return branches[0]


def _check_anchors(network: Network, features: Sequence[Node], grid: AnchorGrid) -> None:
    priors = [node for node in network.nodes if node.type == "PriorBox"]
    if [node.inputs[0] for node in priors] != list(features):
        raise ValueError(
            f"expected anchors on {[node.name for node in features]}, got "
            f"{[node.inputs[0].name for node in priors]}"
        )
    for node, stride, shapes in zip(priors, grid.strides, grid.shapes, strict=True):
        assert node.layer is not None
        expected = {
            "min_size": [width for width, _ in shapes],
            "max_size": [],
            "aspect_ratio": [],
            "step": [stride],
            "offset": [grid.offset],
            "variance": [_OF_CENTRE, _OF_CENTRE, _OF_SIZE, _OF_SIZE],
        }
        values = {name: node.layer.values("prior_box_param", name) for name in expected}
        values["offset"] = values["offset"] or [0.5]
        values["variance"] = [round(value, 6) for value in values["variance"]]
        if values != expected:
            raise ValueError(f"layer {node.name!r}: expected {expected}, got {values}")


def _has_sigmoid(network: Network) -> bool:
    """Whether a score is the sigmoid of its own logit, not a softmax over the classes."""
    by_type = {node.type: node.layer for node in network.nodes if node.layer is not None}
    if "DetectionOutput" in by_type:
        layer, group = by_type["DetectionOutput"], "detection_output_param"
        activations = [name for name in ("Sigmoid", "Softmax") if name in by_type]
        if len(activations) != 1:
            raise ValueError(f"expected a Sigmoid or a Softmax of the scores, got {activations}")
        sigmoid = activations == ["Sigmoid"]
    elif "MultiBoxLoss" in by_type:
        layer, group = by_type["MultiBoxLoss"], "multibox_loss_param"
        sigmoid = layer.value(group, "conf_loss_type", "SOFTMAX") == "LOGISTIC"
    else:
        raise ValueError("expected a layer MultiBoxLoss or DetectionOutput, got neither")
    code = layer.value(group, "code_type", "CORNER")
    background = layer.value(group, "background_label_id", 0)
    if code != "CENTER_SIZE" or background != 0:
        raise ValueError(
            f"layer {layer.name!r}: expected boxes in the code CENTER_SIZE and the background as "
            f"class 0, got {code} and {background}"
        )
    return sigmoid


def _check_max_out(network: Network, scores: Node) -> None:
    """Refuses all but the maximum over the first channels beside the last (section 3.3)."""
    layers = [node.layer for node in network.nodes if node.layer is not None]

    def reader(names: Sequence[str], kind: str) -> CaffeLayer | None:
        fitting = (x for x in layers if x.type == kind and x.bottoms == tuple(names))
        return next(fitting, None)

    assert scores.layer is not None
    parts = reader(scores.layer.tops, "Slice")
    largest = reader(parts.tops[:-1], "Eltwise") if parts else None
    if (
        parts is None
        or len(parts.tops) != scores.outputs()
        or largest is None
        or largest.value("eltwise_param", "operation", "SUM") != "MAX"
        or reader((*largest.tops, parts.tops[-1]), "Concat") is None
    ):
        raise ValueError(
            f"layer {scores.name!r}: expected that the maximum of its channels but the last is the "
            "background"
        )
