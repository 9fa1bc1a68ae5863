"""The published file formats of S3FD's weights, and the network that belongs to each.

Every published checkpoint has the same 65 shapes, so that it loads into the wrong network without
an error. The names of its tensors tell where it comes from, and thereby which network it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from s3fd.models.s3fd import ModelConfig

VGG16_LAYERS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3"),
    *("conv4_1", "conv4_2", "conv4_3", "conv5_1", "conv5_2", "conv5_3"),
)
# Where these are in torchvision's `features`, and in every `vgg` that descends from it.
VGG16_INDICES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)

_NORMS = ("conv3_3", "conv4_3", "conv5_3")
_EXTRAS = ("conv6_1", "conv6_2", "conv7_1", "conv7_2")
_LEVELS = ("conv3_3_norm", "conv4_3_norm", "conv5_3_norm", "fc7", "conv6_2", "conv7_2")


@dataclass(frozen=True)
class Format:
    """A published format.

    Attributes:
        name: who publishes it.
        example: two names in it that no other format has.
        keys: from the names in the file to those of `S3FD`.
        config: the network that its weights were trained in.
    """

    name: str
    example: str
    keys: dict[str, str]
    config: ModelConfig


def recognize(names: Iterable[str]) -> Format | None:
    """The format that most of the `names` belong to; None if no format has half of its names."""
    present = set(names)
    best = max(FORMATS, key=lambda candidate: len(present & candidate.keys.keys()))
    return best if 2 * len(present & best.keys.keys()) >= len(best.keys) else None


def _parameters(modules: dict[str, str]) -> dict[str, str]:
    """From names of modules to names of their parameters: norms have no bias."""
    return {
        f"{theirs}.{parameter}": f"{ours}.{parameter}"
        for theirs, ours in modules.items()
        for parameter in (("weight",) if ours.endswith("norm") else ("weight", "bias"))
    }


def _named_layers() -> dict[str, str]:
    """Layers by the names of the Caffe model."""
    layers = (*VGG16_LAYERS, "fc6", "fc7", *_EXTRAS, *(f"{name}_norm" for name in _NORMS))
    modules = {name: f"backbone.{name}" for name in layers}
    for level, name in enumerate(_LEVELS):
        modules[f"{name}_mbox_conf"] = f"head.logits.{level}"
        modules[f"{name}_mbox_loc"] = f"head.deltas.{level}"
    return _parameters(modules)


def _numbered_layers(norm_name: str) -> dict[str, str]:
    """Layers by their place in lists; `norm_name` turns "conv3_3" into the name of its norm."""
    modules = {
        f"vgg.{index}": f"backbone.{name}"
        for index, name in zip((*VGG16_INDICES, 31, 33), (*VGG16_LAYERS, "fc6", "fc7"), strict=True)
    }
    for index, name in enumerate(_EXTRAS):
        modules[f"extras.{index}"] = f"backbone.{name}"
    for name in _NORMS:
        modules[norm_name.format(name, number=name[4:])] = f"backbone.{name}_norm"
    for level in range(len(_LEVELS)):
        modules[f"conf.{level}"] = f"head.logits.{level}"
        modules[f"loc.{level}"] = f"head.deltas.{level}"
    return _parameters(modules)


_MEAN_BGR = (104.0, 117.0, 123.0)


def _vgg16(
    order: Literal["RGB", "BGR"],
    pools: Literal["floor", "third_ceil"],
    *,
    padding: int,
    dilation: int,
) -> ModelConfig:
    """The paper's network as a codebase has it: channels, pooling, and its layer fc6."""
    return ModelConfig(
        "vgg16",
        channel_order=order,
        mean=_MEAN_BGR if order == "BGR" else _MEAN_BGR[::-1],
        fc6_padding=padding,
        fc6_dilation=dilation,
        pools=pools,
    )


FORMATS = (
    Format(
        name="the ports of the released Caffe model (SFD_pytorch, face-alignment, Wav2Lip)",
        example="conv3_3_norm.weight, conv3_3_norm_mbox_conf.weight",
        keys=_named_layers(),
        config=_vgg16("BGR", "floor", padding=3, dilation=1),
    ),
    Format(
        name="S3FD.pytorch and syncnet_python",
        example="vgg.0.weight, L2Norm3_3.weight",
        keys=_numbered_layers("L2Norm{number}"),
        config=_vgg16("RGB", "third_ceil", padding=6, dilation=6),
    ),
    Format(
        name="luuuyi/S3FD.PyTorch",
        example="vgg.0.weight, conv3_3_L2Norm.weight",
        keys=_numbered_layers("{}_L2Norm"),
        config=_vgg16("BGR", "third_ceil", padding=1, dilation=1),
    ),
)
