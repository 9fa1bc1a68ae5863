"""The small S3FDs for Caffe of the repository bonseyes/SFD: mod5, mod8, mod11 to mod18."""

from __future__ import annotations

import math
from collections import deque

import torch

from s3fd.models.caffe.graph import POINTWISE, Convolution, Network, Node
from s3fd.models.caffe.head import read_head
from s3fd.models.caffe.parts import Parts
from s3fd.models.mobilenet_v2 import EPSILON, MobileNetV2Backbone, MobileNetV2Layout
from s3fd.models.s3fd import ModelConfig


def read_mobilenet_v2(network: Network) -> tuple[ModelConfig, Parts]:
    """Its config, but for the input, and its weights.

    Raises:
        ValueError: it is not built like a `MobileNetV2Backbone`.
    """
    trunk = _Trunk(network)
    layout, features = trunk.read()
    backgrounds = read_head(network, features, MobileNetV2Backbone.grid, trunk.parts)
    return ModelConfig("mobilenet_v2", backgrounds=backgrounds, layout=layout), trunk.parts


class _Trunk:
    """Takes one convolution after the other; each has to read what came out of the one before."""

    def __init__(self, network: Network) -> None:
        self.parts = Parts()
        self._x = network.image
        self._width = 3
        self._sums = [node for node in network.nodes if node.type == "Eltwise"]
        self._remaining = deque(
            node
            for node in network.nodes
            if node.type == "Convolution" and "_mbox_" not in node.name
        )

    def read(self) -> tuple[MobileNetV2Layout, list[Node]]:
        """Widths and depths of the network, and the nodes that its head reads, finest first."""
        stem = [self._take("stem.0", Convolution(stride=2))]
        while self._ahead(0).convolution() == Convolution():
            stem.append(self._take(f"stem.{len(stem)}", Convolution()))
        separable, _ = self._take_separable("separable.0", "separable.1", relu=False)
        blocks: list[tuple[int, int, int]] = []
        finest = self._x
        while not self._ahead(2).relu:  # a block ends without a ReLU, and nothing else does
            expansion = self._ahead(0)
            blocks.append(self._take_block(f"blocks.{len(blocks)}"))
            if blocks[-1][-1] == 2:
                finest = expansion
        last = self._take("last", POINTWISE)
        features, extras = [finest, self._x], []
        for level in range(3):
            reduced = self._take(f"extras.{level}.0", POINTWISE)
            outputs, stride = self._take_separable(f"extras.{level}.1", f"extras.{level}.2")
            if stride != 2:
                raise ValueError(f"layer {self._x.name!r}: expected half the resolution")
            extras.append((reduced, outputs))
            features.append(self._x)
        if self._remaining:
            raise ValueError(f"layer {self._remaining[0].name!r} is one more than expected")
        layout = MobileNetV2Layout(tuple(stem), separable, tuple(blocks), last, tuple(extras))
        return layout, features

    def _ahead(self, index: int) -> Node:
        if index >= len(self._remaining):
            raise ValueError(f"expected more convolutions after {self._x.name!r}")
        return self._remaining[index]

    def _take(self, module: str, settings: Convolution, *, relu: bool = True) -> int:
        """The next convolution, whose weights are for this module; returns its channels."""
        node = self._ahead(0)
        node.check_convolution(self._x, settings, relu=relu)
        self.parts.add(node.name, f"backbone.{module}.conv", weight=node.weight())
        _add_norm(self.parts, node, f"backbone.{module}.norm")
        self._remaining.popleft()
        self._x, self._width = node, node.outputs()
        return self._width

    def _take_separable(self, first: str, second: str, *, relu: bool = True) -> tuple[int, int]:
        """A depthwise convolution and a 1x1 one; returns the channels and the stride."""
        stride = self._ahead(0).convolution().stride
        self._take(first, Convolution(stride=stride, groups=self._width))
        return self._take(second, POINTWISE, relu=relu), stride

    def _take_block(self, module: str) -> tuple[int, int, int]:
        """An inverted residual; returns its expanded channels, its channels, and its stride."""
        before, width = self._x, self._width
        expanded = self._take(f"{module}.expand", POINTWISE)
        outputs, stride = self._take_separable(
            f"{module}.filter.0", f"{module}.filter.1", relu=False
        )
        sums = [node for node in self._sums if node.is_from(before, self._x)]
        if len(sums) != (stride == 1 and width == outputs):
            raise ValueError(
                f"layer {self._x.name!r}: expected that its input is added where it has the same "
                f"shape, and only there, got {len(sums)} sums"
            )
        for node in sums:
            operation = node.value("eltwise_param", "operation", "SUM")
            if operation != "SUM" or node.value("eltwise_param", "coeff", None) or node.relu:
                raise ValueError(f"layer {node.name!r}: expected a plain sum")
            self._x = node
        return expanded, outputs, stride


def _add_norm(parts: Parts, node: Node, module: str) -> None:
    """The batch norm and the scale after a convolution, and its bias, as one batch norm.

    Where they are folded into the convolution it becomes the norm that adds nothing but the bias.
    """
    size = node.outputs()
    mean, variance = torch.zeros(size), torch.full((size,), 1 - EPSILON)
    if node.norm is not None:
        if not math.isclose(node.epsilon, EPSILON, rel_tol=1e-4):
            raise ValueError(
                f"layer {node.name!r}: expected a batch norm with eps {EPSILON}, got {node.epsilon}"
            )
        divisor = node.vector(node.norm, 2, 1).item()
        factor = 1 / divisor if divisor else 0.0  # Caffe's files hold sums over the training
        mean = factor * node.vector(node.norm, 0, size)
        variance = factor * node.vector(node.norm, 1, size)
    weight, bias = torch.ones(size), torch.zeros(size)
    if node.scale is not None:
        weight, bias = node.vector(node.scale, 0, size), node.vector(node.scale, 1, size)
    parts.add(
        f"{node.name}/bn",
        module,
        running_mean=mean - node.bias(),
        running_var=variance,
        num_batches_tracked=torch.tensor(0),
    )
    parts.add(f"{node.name}/scale", module, weight=weight, bias=bias)
