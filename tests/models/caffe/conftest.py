"""Networks of Caffe's, made up: how they are written to its two files, and what they compute.

This knows nothing of s3fd. The numbers are those of `caffe.proto`, and each layer is run as its
documentation describes it.
"""

import re
import struct
import sys
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

NUMBERS = {
    "name": 1,
    "type": 2,
    "bottom": 3,
    "top": 4,
    "blobs": 7,
    "transform_param": (100, {"scale": 1, "mirror": 2, "mean_file": 4, "mean_value": 5}),
    "convolution_param": (
        106,
        {
            "num_output": 1,
            "bias_term": 2,
            "pad": 3,
            "kernel_size": 4,
            "group": 5,
            "stride": 6,
            "kernel_h": 11,
            "kernel_w": 12,
            "dilation": 18,
        },
    ),
    "eltwise_param": (110, {"operation": 1, "coeff": 2}),
    "pooling_param": (121, {"pool": 1, "kernel_size": 2, "stride": 3}),
    "relu_param": (123, {"negative_slope": 1}),
    "batch_norm_param": (139, {"eps": 3}),
    "multibox_loss_param": (201, {"conf_loss_type": 2, "num_classes": 4, "code_type": 14}),
    "prior_box_param": (
        203,
        {"min_size": 1, "aspect_ratio": 3, "clip": 5, "variance": 6, "step": 10, "offset": 13},
    ),
    "detection_output_param": (204, {"num_classes": 1, "code_type": 6}),
    "norm_param": (206, {"across_spatial": 1, "channel_shared": 3}),
}
FLOATS = {"scale", "mean_value", "coeff", "negative_slope", "eps", "min_size", "aspect_ratio"} | {
    *("variance", "step", "offset"),
}
ENUMERATIONS = {
    "PROD": 0,
    "SUM": 1,
    "SOFTMAX": 0,
    "LOGISTIC": 1,
    "CORNER": 1,
    "CENTER_SIZE": 2,
    ("operation", "MAX"): 2,
    ("pool", "MAX"): 0,
}


@dataclass
class Layer:
    """A layer: what it reads and makes, its settings by group, and its weights."""

    name: str
    type: str
    bottoms: list
    tops: list
    settings: dict = field(default_factory=dict)
    blobs: list = field(default_factory=list)

    def setting(self, name, default=None):
        return {k: v for group in self.settings.values() for k, v in group.items()}.get(
            name, default
        )


# --- .caffemodel ----------------------------------------------------------------------------------


def varint(value):
    low = bytes([value & 127 | (128 if value > 127 else 0)])
    return low + varint(value >> 7) if value > 127 else low


def of_bytes(number, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(content)) + content


def of_integer(number, value):
    return varint(number << 3) + varint(int(value))


def blob_bytes(blob, kind):
    shape = of_bytes(7, of_bytes(1, b"".join(varint(n) for n in blob.shape)))
    if kind == "legacy":
        lengths = [1] * (4 - blob.ndim) + list(blob.shape)
        shape = b"".join(of_integer(n, length) for n, length in enumerate(lengths, start=1))
    if kind == "double":
        return of_bytes(8, blob.astype("<f8").tobytes()) + shape
    if kind == "half":
        return of_integer(10, 2) + of_bytes(12, blob.astype("<f2").tobytes()) + shape
    if kind == "unpacked":
        return b"".join(varint(5 << 3 | 5) + struct.pack("<f", x) for x in blob.flatten()) + shape
    return of_bytes(5, blob.astype("<f4").tobytes()) + shape


def setting_bytes(number, name, values):
    data = b""
    for value in values if isinstance(values, list) else [values]:
        if name in FLOATS:
            data += varint(number << 3 | 5) + struct.pack("<f", value)
        elif name == "mean_file":
            data += of_bytes(number, value)
        else:
            code = ENUMERATIONS.get((name, value), ENUMERATIONS.get(value, value))
            data += of_integer(number, code)
    return data


def layer_bytes(layer, kind):
    data = of_bytes(1, layer.name) + of_bytes(2, layer.type)
    data += b"".join(of_bytes(3, name) for name in layer.bottoms)
    data += b"".join(of_bytes(4, name) for name in layer.tops)
    data += b"".join(of_bytes(7, blob_bytes(blob, kind)) for blob in layer.blobs)
    data += of_integer(10, 0) + of_bytes(149, b"of no interest")
    for group, settings in layer.settings.items():
        number, names = NUMBERS[group]
        content = (setting_bytes(names[name], name, value) for name, value in settings.items())
        data += of_bytes(number, b"".join(content))
    return data


def caffemodel(layers, kind="float"):
    return of_bytes(1, "made up") + b"".join(of_bytes(100, layer_bytes(x, kind)) for x in layers)


# --- .prototxt ------------------------------------------------------------------------------------


def prototxt(layers):
    lines = ["# made up", 'name: "made up"', 'input: "data"', "input_shape { dim: 1 dim: 3 }"]
    for layer in layers:
        lines += ["layer {", f'  name: "{layer.name}"  # a layer', f"  type: '{layer.type}'"]
        lines += [f'  bottom: "{name}"' for name in layer.bottoms]
        lines += [f'  top: "{name}"' for name in layer.tops]
        for group, settings in layer.settings.items():
            lines.append(f'  {group} {{ weight_filler: {{ type: "msra" std: 1e-2 }};')
            for name, values in settings.items():
                for value in values if isinstance(values, list) else [values]:
                    written = str(value).lower() if isinstance(value, bool) else value
                    lines.append(f"    {name}: {written}")
            lines.append("  }")
        lines.append("}")
    return "\n".join(lines) + "\n"


# --- what layers compute --------------------------------------------------------------------------


def tensor(blob):
    return torch.from_numpy(blob).double()


def convolve(layer, x):
    weight, *bias = map(tensor, layer.blobs)
    return F.conv2d(
        x,
        weight,
        *bias,
        stride=layer.setting("stride", 1),
        padding=layer.setting("pad", 0),
        dilation=layer.setting("dilation", 1),
        groups=layer.setting("group", 1),
    )


def normalize(layer, x):
    """Of BatchNorm: sums of means and of variances, and what to divide both by."""
    mean, variance, divisor = (tensor(blob).view(1, -1, 1, 1) for blob in layer.blobs)
    return (x - mean / divisor) / (variance / divisor + layer.setting("eps", 1e-5)).sqrt()


def rescale(layer, x):
    factor, summand = (tensor(blob).view(1, -1, 1, 1) for blob in layer.blobs)
    return x * factor + summand


def channel_norm(layer, x):
    factor = tensor(layer.blobs[0]).view(1, -1, 1, 1)
    return x / (x.square().sum(dim=1, keepdim=True) + 1e-10).sqrt() * factor


COMPUTE = {
    "Convolution": convolve,
    "BatchNorm": normalize,
    "Scale": rescale,
    "ReLU": lambda _, x: x.relu(),
    "Eltwise": lambda _, x, y: x + y,
    "Pooling": lambda _, x: F.max_pool2d(x, 2, 2, ceil_mode=True),  # all of Caffe's round up
    "Normalize": channel_norm,
}


@torch.inference_mode()
def run(layers, rgb, mean=(104.0, 117.0, 123.0), scale=1.0):
    """What all layers up to the head's make of RGB images, by its names, in double precision."""
    bgr = rgb.flip(1).double() - torch.tensor(mean).view(1, 3, 1, 1)
    made = {"data": bgr * scale}
    for layer in layers:
        inputs = [made[name] for name in layer.bottoms if name in made]
        if layer.type == "Split":
            made.update(dict.fromkeys(layer.tops, inputs[0]))
        elif layer.type in COMPUTE and inputs and layer.setting("operation") != "MAX":
            made[layer.tops[0]] = COMPUTE[layer.type](layer, *inputs)
    return made


# --- networks -------------------------------------------------------------------------------------


class Builder:
    """Adds layers to a list, with random weights that keep activations around 1."""

    def __init__(self, seed, batch_norm=False):
        self.layers = []
        self.random = np.random.default_rng(seed)
        self.batch_norm = batch_norm

    def normal(self, *shape, around=0.0, spread=1.0):
        return (around + spread * self.random.normal(size=shape)).astype(np.float32)

    def add(self, name, kind, bottoms, tops=None, blobs=(), **settings):
        tops = [name] if tops is None else tops
        self.layers.append(Layer(name, kind, bottoms, tops, settings, list(blobs)))
        return tops[0]

    def convolution(self, name, bottom, inputs, outputs, *, relu=True, batch_norm=None, **settings):
        batch_norm = self.batch_norm if batch_norm is None else batch_norm
        shape = (inputs // settings.get("group", 1), *[settings.get("kernel_size", 1)] * 2)
        spread = np.sqrt((2 if relu else 1) / np.prod(shape)) * (0.02 if inputs == 3 else 1)
        blobs = [self.normal(outputs, *shape, spread=spread)]
        settings = {"num_output": outputs, **settings}
        if batch_norm:
            settings["bias_term"] = False
        else:
            blobs.append(self.normal(outputs, spread=0.1))
        self.add(name, "Convolution", [bottom], None, blobs, convolution_param=settings)
        if batch_norm:
            divisor = np.float32(3.0)  # Caffe's files hold sums over the training
            mean, variance = self.normal(outputs, spread=0.2), 0.5 + self.random.random(outputs)
            sums = [divisor * mean, (divisor * variance).astype(np.float32), divisor.reshape(1)]
            self.add(
                f"{name}/bn", "BatchNorm", [name], [name], sums, batch_norm_param={"eps": 0.001}
            )
            scale = [self.normal(outputs, around=1, spread=0.1), self.normal(outputs, spread=0.1)]
            self.add(f"{name}/scale", "Scale", [name], [name], scale)
        if relu:
            self.add(f"{name}/relu", "ReLU", [name], [name])
        return name

    def branch(self, feature, channels, *, classes=2, sizes=(16.0,), step, suffix=""):
        for kind, outputs in (("loc", 4), ("conf", classes)):
            self.convolution(
                f"{feature}_mbox_{kind}{suffix}",
                feature,
                channels,
                outputs * len(sizes),
                relu=False,
                batch_norm=False,
                kernel_size=3,
                pad=1,
            )
        prior = {"min_size": list(sizes), "variance": [0.1, 0.1, 0.2, 0.2], "step": float(step)}
        prior |= {"clip": False, "offset": 0.5}
        name = f"{feature}_mbox_priorbox"
        self.add(name, "PriorBox", [feature, "data"], prior_box_param=prior)

    def join(self):
        """All levels' outputs, of which max-out makes the class map anew."""
        names = {x.name for x in self.layers if "_mbox_" in x.name}
        for kind in ("loc", "conf", "priorbox"):
            joined = [x.name for x in self.layers if re.search(f"_mbox_{kind}(-_)?$", x.name)]
            joined = [f"{name}_out" if f"{name}_out" in names else name for name in joined]
            self.add(f"mbox_{kind}", "Concat", joined)

    def loss(self, kind):
        self.join()
        settings = {"conf_loss_type": kind, "num_classes": 2, "code_type": "CENTER_SIZE"}
        bottoms = ["mbox_loc", "mbox_conf", "mbox_priorbox", "label"]
        self.add("mbox_loss", "MultiBoxLoss", bottoms, multibox_loss_param=settings)

    def output(self, activation):
        self.join()
        self.add("scores", activation, ["mbox_conf"])
        settings = {"num_classes": 2, "code_type": "CENTER_SIZE"}
        bottoms = ["mbox_loc", "scores", "mbox_priorbox"]
        self.add("detection_out", "DetectionOutput", bottoms, detection_output_param=settings)


BLOCKS = [(8, 6, 2), (12, 6, 1), (12, 8, 2), (16, 8, 1), (16, 12, 2), (24, 12, 1)]


def mobilenet_layers(builder):
    """The network of bonseyes/SFD, narrow and short, up to its head."""
    builder.convolution("Conv", "data", 3, 4, kernel_size=3, pad=1, stride=2)
    builder.convolution("Conv_a", "Conv", 4, 5, kernel_size=3, pad=1)
    builder.convolution("conv/depthwise", "Conv_a", 5, 5, kernel_size=3, pad=1, group=5)
    x, width = builder.convolution("conv/project", "conv/depthwise", 5, 5, relu=False), 5
    for index, (expanded, outputs, stride) in enumerate(BLOCKS, start=1):
        depthwise = {"kernel_size": 3, "pad": 1, "stride": stride, "group": expanded}
        name = f"conv_{index}"
        builder.convolution(f"{name}/expand_", x, width, expanded)
        builder.convolution(
            f"{name}/depthwise_", f"{name}/expand_", expanded, expanded, **depthwise
        )
        y = f"{name}/project_"
        builder.convolution(y, f"{name}/depthwise_", expanded, outputs, relu=False)
        x = builder.add(f"{name}/sum", "Eltwise", [x, y], [name]) if stride == 1 else y
        width = outputs
    builder.convolution("Conv_1", x, width, 16)
    x, width = "Conv_1", 16
    for level in (2, 3, 4):
        depthwise = {"kernel_size": 3, "pad": 1, "stride": 2, "group": 6}
        name = f"layer_19_2_{level}"
        builder.convolution(f"layer_19_1_{level}", x, width, 6)
        builder.convolution(f"{name}/depthwise", f"layer_19_1_{level}", 6, 6, **depthwise)
        x, width = builder.convolution(name, f"{name}/depthwise", 6, 10 + level), 10 + level
    builder.branch("conv_5/expand_", 16, sizes=(16.0, 32.0), step=8, suffix="-_")
    builder.branch("Conv_1", 16, sizes=(64.0,), step=16, suffix="-_")
    for level in (2, 3, 4):
        size, step = 32.0 * 2**level, 8 * 2**level
        builder.branch(f"layer_19_2_{level}", 10 + level, sizes=(size,), step=step, suffix="-_")


def insert_splits(layers):
    """As Caffe does: a blob that several layers read is copied for each."""
    layers = [replace(layer, bottoms=list(layer.bottoms)) for layer in layers]
    result = list(layers)
    for index, layer in enumerate(layers):
        for top in layer.tops:
            later = layers[index + 1 :]
            if any(top in other.tops for other in later):
                continue  # it is changed in place first
            readers = [other for other in later if top in other.bottoms]
            if len(readers) > 1:
                names = [f"{top}_split_{number}" for number in range(len(readers))]
                split = Layer(f"{top}_split", "Split", [top], names)
                result.insert(result.index(layer) + 1, split)
                for reader, name in zip(readers, names, strict=True):
                    reader.bottoms[reader.bottoms.index(top)] = name
    return result


def trained_mobilenet(loss="LOGISTIC", **transform):
    """A network as the training leaves it: with its data, its batch norms and its loss."""
    builder = Builder(0, batch_norm=True)
    transform = {"mean_value": [104.0, 117.0, 123.0], **transform}
    builder.add("data", "AnnotatedData", [], ["data", "label"], transform_param=transform)
    mobilenet_layers(builder)
    builder.loss(loss)
    return insert_splits(builder.layers)


def deployed_mobilenet(activation="Sigmoid", *, batch_norm=False):
    """A network for use: batch norms are folded as a rule, and scores come out."""
    builder = Builder(1, batch_norm=batch_norm)
    builder.add("input", "Input", [], ["data"])
    mobilenet_layers(builder)
    builder.output(activation)
    return insert_splits(builder.layers)


def trained_vgg16(fc6=3, backgrounds=3):
    """The network of S3FD's authors, all of it."""
    builder = Builder(2)
    builder.add("data", "AnnotatedData", [], ["data", "label"])
    x, width = "data", 3
    for block, (depth, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for layer in range(1, depth + 1):
            name = f"conv{block}_{layer}"
            x, width = builder.convolution(name, x, width, channels, kernel_size=3, pad=1), channels
        pooling = {"pool": "MAX", "kernel_size": 2, "stride": 2}
        x = builder.add(f"pool{block}", "Pooling", [x], pooling_param=pooling)
    builder.convolution("fc6", x, 512, 1024, kernel_size=3, pad=fc6, dilation=1)
    builder.convolution("fc7", "fc6", 1024, 1024)
    builder.convolution("conv6_1", "fc7", 1024, 256, pad=0, stride=1)
    builder.convolution("conv6_2", "conv6_1", 256, 512, kernel_size=3, pad=1, stride=2)
    builder.convolution("conv7_1", "conv6_2", 512, 128)
    builder.convolution("conv7_2", "conv7_1", 128, 256, kernel_size=3, pad=1, stride=2)
    for name, channels in (("conv3_3", 256), ("conv4_3", 512), ("conv5_3", 512)):
        norm = {"across_spatial": False, "channel_shared": False}
        factor = [builder.normal(channels, around=8)]
        builder.add(f"{name}_norm", "Normalize", [name], None, factor, norm_param=norm)
    widths = {"conv3_3_norm": 256, "conv4_3_norm": 512, "conv5_3_norm": 512, "fc7": 1024}
    widths |= {"conv6_2": 512, "conv7_2": 256}
    for level, (name, channels) in enumerate(widths.items()):
        classes = backgrounds + 1 if level == 0 else 2
        builder.branch(name, channels, classes=classes, sizes=(16.0 * 2**level,), step=4 * 2**level)
    if backgrounds > 1:
        scores = "conv3_3_norm_mbox_conf"
        parts = [f"{scores}{index}" for index in range(1, backgrounds + 2)]
        builder.add(f"{scores}_slice", "Slice", [scores], parts)
        largest = f"{scores}_maxout"
        builder.add(largest, "Eltwise", parts[:-1], eltwise_param={"operation": "MAX"})
        builder.add(f"{scores}_out", "Concat", [largest, parts[-1]])
    builder.loss("SOFTMAX")
    return insert_splits(builder.layers)


@pytest.fixture(scope="session")
def caffe():
    """Networks of Caffe's, and what writes and runs them: the functions of this file."""
    return sys.modules[__name__]
