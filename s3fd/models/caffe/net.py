"""Caffe's two files: a network with its weights (.caffemodel), and a network as text (.prototxt).

Both are one type of message, ``NetParameter``. Known here is what a detector needs of it, by the
numbers and names that Caffe, its branch SSD and NVIDIA's Caffe share; all else is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s3fd.models.caffe.messages import (
    Message,
    Schema,
    binary_fields,
    from_bytes,
    from_text,
    integers,
)

_RAW_TYPES = ("<f8", "<f4", "<f2")  # by the raw_data_type of a blob, which only NVIDIA's Caffe has


@dataclass(frozen=True)
class CaffeLayer:
    """A layer of a network.

    Attributes:
        name: of the layer itself.
        type: such as ``"Convolution"``.
        bottoms: names of its inputs.
        tops: names of its outputs; one that is an input, too, is changed in place.
        blobs: its weights, float32.
        settings: its other fields, such as ``"convolution_param"``.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[Tensor, ...]
    settings: Message

    def values(self, group: str, name: str) -> list[Any]:
        """All values of a field in a group of settings; none where it is not set."""
        message: Message = self.settings.get(group, [{}])[-1]
        return message.get(name, [])

    def value(self, group: str, name: str, default: Any) -> Any:
        """The value of a field in a group of settings."""
        return [default, *self.values(group, name)][-1]


@dataclass(frozen=True)
class CaffeNet:
    """A network.

    Attributes:
        inputs: names of what no layer makes.
        layers: in the order in which they run.
    """

    inputs: tuple[str, ...]
    layers: tuple[CaffeLayer, ...]


def looks_like_caffemodel(start: bytes) -> bool:
    """Whether a file that begins with these bytes may be a .caffemodel."""
    if start[8:9] == b"{":  # safetensors: the length of a header, which may be any bytes
        return False
    data = memoryview(start)
    try:
        number, value = next(binary_fields(data, whole=False))
        if number == 1 and isinstance(value, memoryview):  # the network's name, and then a layer
            number, value = next(binary_fields(data[2 + len(value) :], whole=False))
    except (ValueError, StopIteration):
        return False
    return number in _NET and isinstance(value, memoryview)


def read_caffemodel(path: Path) -> CaffeNet:
    """The layers of a .caffemodel, with their weights.

    Raises:
        ValueError: it is truncated or damaged, has no layers, or those of before 2014.
    """
    return _net(from_bytes(memoryview(path.read_bytes()), _NET))


def read_prototxt(path: Path) -> CaffeNet:
    """The layers of a .prototxt, without weights.

    Raises:
        ValueError: as `read_caffemodel`.
    """
    return _net(from_text(path.read_text(encoding="utf-8", errors="replace"), _NET))


def _net(message: Message) -> CaffeNet:
    if "layers" in message:
        raise ValueError(
            "its layers are in the form of before 2014; convert it with Caffe's "
            "upgrade_net_proto_binary or upgrade_net_proto_text"
        )
    layers = tuple(
        CaffeLayer(
            name=layer.get("name", [""])[-1],
            type=layer.get("type", [""])[-1],
            bottoms=tuple(layer.get("bottom", ())),
            tops=tuple(layer.get("top", ())),
            blobs=tuple(layer.get("blobs", ())),
            settings=layer,
        )
        for layer in message.get("layer", ())
    )
    if not layers:
        raise ValueError("there are no layers in it")
    return CaffeNet(tuple(message.get("input", ())), layers)


def _blob(data: memoryview) -> Tensor:
    """A tensor: its shape, and its values as floats, as doubles, or raw."""
    shape: list[int] = []
    shape_of_four = {}
    chunks: dict[int, list[memoryview]] = {5: [], 8: [], 12: []}
    raw_type = 1
    for number, value in binary_fields(data):
        if number == 7 and isinstance(value, memoryview):
            for _, lengths in binary_fields(value):
                shape += [lengths] if isinstance(lengths, int) else integers(lengths)
        elif number in (1, 2, 3, 4) and isinstance(value, int):  # before blobs had other ranks
            shape_of_four[number] = value
        elif number == 10 and isinstance(value, int):
            raw_type = value
        elif number in chunks and isinstance(value, memoryview):
            chunks[number].append(value)
    if raw_type >= len(_RAW_TYPES):
        raise ValueError(f"expected weights in floating point, got those of kind {raw_type}")
    shape = shape or [shape_of_four.get(number, 1) for number in (1, 2, 3, 4)]
    kinds = {5: "<f4", 8: "<f8", 12: _RAW_TYPES[raw_type]}
    number = max(chunks, key=lambda number: len(chunks[number]))
    content = b"".join(chunks[number])
    try:
        values = np.frombuffer(content, kinds[number]).astype(np.float32).reshape(shape)
    except ValueError:
        raise ValueError(
            f"damaged: the weights of a layer have the shape {shape} and {len(content)} bytes"
        ) from None
    return torch.from_numpy(values)


_CODE_TYPE = ("", "CORNER", "CENTER_SIZE", "CORNER_SIZE")

_CONVOLUTION: Schema = {
    1: ("num_output", int),
    2: ("bias_term", bool),
    3: ("pad", int),
    4: ("kernel_size", int),
    5: ("group", int),
    6: ("stride", int),
    9: ("pad_h", int),
    10: ("pad_w", int),
    11: ("kernel_h", int),
    12: ("kernel_w", int),
    13: ("stride_h", int),
    14: ("stride_w", int),
    18: ("dilation", int),
}

_POOLING: Schema = {
    1: ("pool", ("MAX", "AVE", "STOCHASTIC")),
    2: ("kernel_size", int),
    3: ("stride", int),
    4: ("pad", int),
}

_PRIOR_BOX: Schema = {
    1: ("min_size", float),
    2: ("max_size", float),
    3: ("aspect_ratio", float),
    6: ("variance", float),
    10: ("step", float),
    13: ("offset", float),
}

_LOSS: Schema = {
    2: ("conf_loss_type", ("SOFTMAX", "LOGISTIC")),
    9: ("background_label_id", int),
    14: ("code_type", _CODE_TYPE),
}

_TRANSFORM: Schema = {1: ("scale", float), 4: ("mean_file", str), 5: ("mean_value", float)}

_LAYER: Schema = {
    1: ("name", str),
    2: ("type", str),
    3: ("bottom", str),
    4: ("top", str),
    7: ("blobs", _blob),
    100: ("transform_param", _TRANSFORM),
    106: ("convolution_param", _CONVOLUTION),
    110: ("eltwise_param", {1: ("operation", ("PROD", "SUM", "MAX")), 2: ("coeff", float)}),
    121: ("pooling_param", _POOLING),
    123: ("relu_param", {1: ("negative_slope", float)}),
    139: ("batch_norm_param", {3: ("eps", float)}),
    201: ("multibox_loss_param", _LOSS),
    203: ("prior_box_param", _PRIOR_BOX),
    204: (
        "detection_output_param",
        {3: ("background_label_id", int), 6: ("code_type", _CODE_TYPE)},
    ),
    206: ("norm_param", {1: ("across_spatial", bool), 3: ("channel_shared", bool)}),
}

_NET: Schema = {2: ("layers", {}), 3: ("input", str), 100: ("layer", _LAYER)}
