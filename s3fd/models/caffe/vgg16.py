"""The S3FD of its authors for Caffe, with the VGG16 backbone."""

from __future__ import annotations

from s3fd.models.caffe.graph import POINTWISE, Convolution, Network, Node
from s3fd.models.caffe.head import read_head
from s3fd.models.caffe.parts import Parts
from s3fd.models.formats import VGG16_LAYERS
from s3fd.models.s3fd import ModelConfig
from s3fd.models.vgg16 import VGG16Backbone

# All others are 3x3 and keep the resolution, but for the padding and dilation of fc6.
_SETTINGS = {
    **dict.fromkeys(("fc7", "conv6_1", "conv7_1"), POINTWISE),
    **dict.fromkeys(("conv6_2", "conv7_2"), Convolution(stride=2)),
}
_CONVOLUTIONS = (*VGG16_LAYERS, "fc6", "fc7", "conv6_1", "conv6_2", "conv7_1", "conv7_2")
_POOLS = {
    "conv1_2": "pool1",
    "conv2_2": "pool2",
    "conv3_3": "pool3",
    "conv4_3": "pool4",
    "conv5_3": "pool5",
}
_NORMS = ("conv3_3", "conv4_3", "conv5_3")
_LEVELS = (*(f"{name}_norm" for name in _NORMS), "fc7", "conv6_2", "conv7_2")


def read_vgg16(network: Network) -> tuple[ModelConfig, Parts]:
    """Its config, but for the input, and its weights. Its pools round up, as all of Caffe's do.

    Raises:
        ValueError: a layer is missing, or is not that of the paper's network.
    """
    parts = Parts()
    fc6 = network["fc6"].convolution()
    settings = {**_SETTINGS, "fc6": Convolution(padding=fc6.padding, dilation=fc6.dilation)}
    x = network.image
    for name in _CONVOLUTIONS:
        node = network[name]
        node.check_convolution(x, settings.get(name, Convolution()))
        x = _pool(network[_POOLS[name]], node) if name in _POOLS else node
    for name in _NORMS:
        _check_norm(network[f"{name}_norm"], network[name])
    backgrounds = read_head(network, [network[name] for name in _LEVELS], VGG16Backbone.grid, parts)
    for name in _CONVOLUTIONS:
        node = network[name]
        parts.add(name, f"backbone.{name}", weight=node.weight(), bias=node.bias())
    for name in _NORMS:
        norm = network[f"{name}_norm"]
        weight = norm.vector(norm.blobs, 0, network[name].outputs())
        parts.add(norm.name, f"backbone.{norm.name}", weight=weight)
    config = ModelConfig(
        "vgg16", fc6_padding=fc6.padding, fc6_dilation=fc6.dilation, backgrounds=backgrounds
    )
    return config, parts


def _pool(pool: Node, source: Node) -> Node:
    settings = {"pool": "MAX", "kernel_size": 2, "stride": 2, "pad": 0}
    found = {
        name: pool.value("pooling_param", name, settings[name] if name in ("pool", "pad") else None)
        for name in settings
    }
    if pool.type != "Pooling" or not pool.is_from(source) or found != settings:
        raise ValueError(
            f"layer {pool.name!r}: expected {settings} of {source.name!r}, got a {pool.type} of "
            f"{pool.sources()} with {found}"
        )
    return pool


def _check_norm(norm: Node, source: Node) -> None:
    across = norm.value("norm_param", "across_spatial", True)
    shared = norm.value("norm_param", "channel_shared", True)
    if norm.type != "Normalize" or not norm.is_from(source) or across or shared:
        raise ValueError(
            f"layer {norm.name!r}: expected a Normalize of the channels of {source.name!r} with a "
            f"factor each, got a {norm.type} of {norm.sources()} with across_spatial {across} and "
            f"channel_shared {shared}"
        )
