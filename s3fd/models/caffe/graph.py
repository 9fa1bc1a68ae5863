"""What the layers of a Caffe network read, and how they compute; compared with what is expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from s3fd.models.caffe.net import CaffeLayer, CaffeNet


class Convolution(NamedTuple):
    """The settings of a convolution; the default is a 3x3 one that keeps the resolution."""

    kernel: int = 3
    stride: int = 1
    padding: int = 1
    dilation: int = 1
    groups: int = 1


POINTWISE = Convolution(kernel=1, padding=0)


@dataclass(eq=False)
class Node:
    """A layer, and those after it that change its output in place.

    Attributes:
        layer: the layer itself; None for the network's input.
        inputs: the nodes that it reads.
        blobs: its weights.
        norm: weights of the batch norm after it: sums of means and of variances, and the divisor.
        epsilon: what that adds to the variance.
        scale: weights of the scale after that: factors and summands.
        relu: whether a ReLU ends it.
    """

    layer: CaffeLayer | None
    inputs: Sequence[Node] = ()
    blobs: Sequence[Tensor] = ()
    norm: Sequence[Tensor] | None = None
    epsilon: float = 0.0
    scale: Sequence[Tensor] | None = None
    relu: bool = False

    @property
    def name(self) -> str:
        """The name of the layer."""
        return "the image" if self.layer is None else self.layer.name

    @property
    def type(self) -> str:
        """The type of the layer."""
        return "Input" if self.layer is None else self.layer.type

    def value(self, group: str, name: str, default: Any) -> Any:
        """A setting of the layer."""
        return default if self.layer is None else self.layer.value(group, name, default)

    def is_from(self, *inputs: Node) -> bool:
        """Whether these nodes are what it reads."""
        return len(self.inputs) == len(inputs) and set(self.inputs) == set(inputs)

    def sources(self) -> list[str]:
        """Names of what it reads."""
        return [node.name for node in self.inputs]

    def outputs(self) -> int:
        """The channels that a convolution makes."""
        return int(self.value("convolution_param", "num_output", 0))

    def convolution(self) -> Convolution:
        """The settings of a convolution."""
        return Convolution(
            kernel=self._square("kernel_size", ("kernel_h", "kernel_w"), 1),
            stride=self._square("stride", ("stride_h", "stride_w"), 1),
            padding=self._square("pad", ("pad_h", "pad_w"), 0),
            dilation=self._square("dilation", (), 1),
            groups=self.value("convolution_param", "group", 1),
        )

    def _square(self, name: str, sides: Sequence[str], default: int) -> int:
        """A setting of both axes, which may be given once, for each, or by the names of the two."""
        given = [] if self.layer is None else self.layer.values("convolution_param", name)
        given = given or [self.value("convolution_param", side, default) for side in sides]
        if len(set(given)) > 1:
            raise ValueError(f"layer {self.name!r}: expected the same {name} twice, got {given}")
        return int(given[0]) if given else default

    def check_convolution(self, source: Node, expected: Convolution, *, relu: bool = True) -> None:
        """Refuses to be anything else than this convolution of the output of `source`."""
        if self.type != "Convolution" or not self.is_from(source):
            raise ValueError(
                f"layer {self.name!r}: expected a Convolution of {source.name!r}, got a "
                f"{self.type} of {self.sources()}"
            )
        found = self.convolution()
        if found != expected or self.relu != relu:
            raise ValueError(
                f"layer {self.name!r}: expected {expected} and ReLU {relu}, got {found} and ReLU "
                f"{self.relu}"
            )

    def weight(self) -> Tensor:
        """The kernels of a convolution, ``[outputs, inputs / groups, height, width]``."""
        if not self.blobs or self.blobs[0].dim() != 4 or len(self.blobs[0]) != self.outputs():
            shapes = [list(blob.shape) for blob in self.blobs]
            raise ValueError(
                f"layer {self.name!r}: expected weights of {self.outputs()} kernels, got {shapes}"
            )
        return self.blobs[0]

    def bias(self) -> Tensor:
        """The bias of a convolution; zeros where it has none."""
        if not self.value("convolution_param", "bias_term", True):
            return torch.zeros(self.outputs())
        return self.vector(self.blobs, 1, self.outputs())

    def vector(self, blobs: Sequence[Tensor], index: int, size: int) -> Tensor:
        """One of the blobs of this node or of its norm or scale, which has so many numbers."""
        if index >= len(blobs) or blobs[index].numel() != size:
            shapes = [list(blob.shape) for blob in blobs]
            raise ValueError(
                f"layer {self.name!r}: expected {size} numbers as weights {index} of it or of what "
                f"follows it, got {shapes}"
            )
        return blobs[index].flatten()


class Network:
    """A network whose layers are connected.

    Args:
        net: the network.
        weights: blobs of its layers, by their names.

    Attributes:
        image: what goes in.
        nodes: in the order in which they run.

    Raises:
        ValueError: a layer reads what no layer before it makes.
    """

    def __init__(self, net: CaffeNet, weights: Mapping[str, Sequence[Tensor]]) -> None:
        self.image = Node(None)
        self.nodes: list[Node] = []
        by_name = dict.fromkeys(net.inputs, self.image)
        for layer in net.layers:
            if not layer.bottoms:  # data: the images first, then perhaps their labels
                by_name.update(dict.fromkeys(layer.tops, self.image))
                continue
            unknown = [name for name in layer.bottoms if name not in by_name]
            if unknown:
                raise ValueError(f"layer {layer.name!r} reads {unknown[0]!r}, which no layer makes")
            node = by_name[layer.bottoms[0]]
            blobs = weights.get(layer.name, ())
            if layer.type in ("BatchNorm", "Scale", "ReLU"):
                _change(node, layer, blobs)
                # What it was before the change can't be read any more.
                by_name = {name: other for name, other in by_name.items() if other is not node}
            elif layer.type not in ("Split", "Dropout"):  # copies, and nothing outside training
                node = Node(layer, [by_name[name] for name in layer.bottoms], blobs)
                self.nodes.append(node)
            by_name.update(dict.fromkeys(layer.tops, node))
        self._by_name = {node.name: node for node in self.nodes}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Node:
        if name not in self._by_name:
            raise ValueError(f"there is no layer {name!r}")
        return self._by_name[name]


def _change(node: Node, layer: CaffeLayer, blobs: Sequence[Tensor]) -> None:
    """Adds a layer that changes the output of a node."""
    slope = layer.value("relu_param", "negative_slope", 0.0)
    if layer.type == "BatchNorm" and node.norm is None and node.scale is None and not node.relu:
        node.norm = blobs
        node.epsilon = layer.value("batch_norm_param", "eps", 1e-5)
    elif layer.type == "Scale" and node.norm is not None and node.scale is None and not node.relu:
        node.scale = blobs
    elif layer.type == "ReLU" and not node.relu and slope == 0:
        node.relu = True
    else:
        raise ValueError(
            f"layer {layer.name!r}: a {layer.type} like this is not expected after {node.name!r}"
        )
