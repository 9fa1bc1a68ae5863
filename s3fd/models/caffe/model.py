"""From the files of Caffe to the config and the weights of an `S3FD`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from s3fd.messages import one_line
from s3fd.models.caffe.graph import Network
from s3fd.models.caffe.mobilenet_v2 import read_mobilenet_v2
from s3fd.models.caffe.net import (
    CaffeLayer,
    CaffeNet,
    looks_like_caffemodel,
    read_caffemodel,
    read_prototxt,
)
from s3fd.models.caffe.vgg16 import read_vgg16
from s3fd.models.s3fd import ModelConfig
from s3fd.models.weights_file import first_bytes

_MEAN = (104.0, 117.0, 123.0)  # of networks that don't say: those for deployment never do


class CaffeModel(NamedTuple):
    """What a .caffemodel holds, in terms of `S3FD`.

    Attributes:
        config: the network that the weights are for.
        tensors: its weights, by the names of its layers.
        keys: from these names to those of `S3FD`.
    """

    config: ModelConfig
    tensors: dict[str, Tensor]
    keys: dict[str, str]


def is_caffemodel(path: Path) -> bool:
    """Whether a file is a .caffemodel, by its name or by its first bytes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, can't be read, or is a folder.
    """
    start = first_bytes(path, 4096)
    return path.suffix == ".caffemodel" or looks_like_caffemodel(start)


def read_caffe_model(path: Path, prototxt: Path | None = None) -> CaffeModel:
    """Recognises a network, and brings its weights into the form of `S3FD`.

    Args:
        path: the .caffemodel.
        prototxt: the network that its weights are for; None for the one that it was trained in,
            which it describes itself.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: a file is damaged, or its network is none that `S3FD` can be; the message names
            the layer.
    """
    weights = _read(read_caffemodel, path)
    net = weights if prototxt is None else _read(read_prototxt, prototxt)
    try:
        network = Network(net, {layer.name: layer.blobs for layer in weights.layers})
        read = read_vgg16 if "conv3_3_norm" in network else read_mobilenet_v2
        config, parts = read(network)
        mean, scale = _preprocessing([*net.layers, *weights.layers])
        config = replace(config, channel_order="BGR", mean=mean, scale=scale)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{prototxt or path}: not the network of an S3FD, of VGG16 or MobileNetV2: "
            f"{one_line(error)}"
        ) from None
    return CaffeModel(config, parts.tensors, parts.keys)


def _read(read: Callable[[Path], CaffeNet], path: Path) -> CaffeNet:
    first_bytes(path, 1)
    try:
        return read(path)
    except ValueError as error:
        raise ValueError(
            f"{path}: {one_line(error)}; fetch or copy the file again, or pass another one"
        ) from None


def _preprocessing(layers: Iterable[CaffeLayer]) -> tuple[tuple[float, float, float], float]:
    """Mean and scale of the input: those of the training data, where Caffe's own are 0 and 1."""
    for layer in layers:
        if "transform_param" not in layer.settings:
            continue
        mean = layer.values("transform_param", "mean_value") or [0.0]
        if layer.values("transform_param", "mean_file") or len(mean) not in (1, 3):
            raise ValueError(
                f"layer {layer.name!r}: expected one mean_value or three, and no mean_file, which "
                "is not read; write them into the prototxt"
            )
        blue, green, red = mean if len(mean) == 3 else mean * 3
        return (blue, green, red), layer.value("transform_param", "scale", 1.0)
    return _MEAN, 1.0
