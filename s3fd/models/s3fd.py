"""S3FD: a backbone with scale-equitable levels, and a multi-box head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from numbers import Real
from typing import Annotated, Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from s3fd.messages import shown
from s3fd.models.conv_norm import ConvNorm
from s3fd.models.head import MultiBoxHead
from s3fd.models.light import LightBackbone
from s3fd.models.mobilenet_v2 import MobileNetV2Backbone, MobileNetV2Layout
from s3fd.models.vgg16 import Pools, VGG16Backbone
from s3fd.settings import Range, check_settings

Backbone: TypeAlias = Literal["light", "vgg16", "mobilenet_v2"]
"""Names of the backbones."""

_FLOAT32 = torch.finfo(torch.float32)


@dataclass(frozen=True)
class ModelConfig:
    """All that decides which network a file of weights belongs to.

    Every published checkpoint of S3FD has the same shapes, so nothing but this tells them apart.

    Attributes:
        backbone: ``"light"``, ``"vgg16"`` or ``"mobilenet_v2"``.
        channel_order: order of the colour channels that the network was trained on.
        mean: what is subtracted from them, in that order, on the scale 0 to 255: three numbers,
            in a sequence, an array or a tensor.
        scale: what they are multiplied by afterwards.
        fc6_padding: padding of VGG16's fc6. The released Caffe model has 3: its features lie
            64 px from their anchors, which its weights have learned.
        fc6_dilation: dilation of VGG16's fc6.
        pools: how VGG16's pools round odd sizes: ``"ceil"``, ``"floor"``, or ``"third_ceil"``
            (only the third rounds up).
        backgrounds: background logits of the finest level: three with max-out background
            (section 3.3), one without.
        layout: widths and depths of the backbone ``"mobilenet_v2"``, which needs them: a
            `MobileNetV2Layout`, or a mapping with its fields.
    """

    backbone: Backbone = "light"
    channel_order: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = (123.0, 117.0, 104.0)
    scale: float = 1.0
    fc6_padding: Annotated[int, Range(0)] = 1
    fc6_dilation: Annotated[int, Range(1)] = 1
    pools: Pools = "ceil"
    backgrounds: Annotated[int, Range(1)] = 3
    layout: MobileNetV2Layout | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        plain: dict[str, object] = {  # as a file keeps them, whatever kind of numbers came
            "mean": _mean(self.mean),
            "scale": _scale(self.scale),
            "fc6_padding": int(self.fc6_padding),
            "fc6_dilation": int(self.fc6_dilation),
            "backgrounds": int(self.backgrounds),
        }
        if isinstance(self.layout, Mapping):
            plain["layout"] = MobileNetV2Layout.from_mapping(self.layout)
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        needed = MobileNetV2Layout if self.backbone == "mobilenet_v2" else type(None)
        if not isinstance(self.layout, needed):
            raise ValueError(
                "layout: expected a MobileNetV2Layout for the backbone 'mobilenet_v2', and None "
                f"for the others, got {self.layout} for {self.backbone!r}"
            )


def _mean(value: Any) -> tuple[float, ...]:
    numbers = value.tolist() if hasattr(value, "tolist") else value  # of numpy or torch
    if not isinstance(numbers, Sequence) or len(numbers) != 3 or not all(map(_fits, numbers)):
        raise ValueError(
            f"mean: expected finite numbers of float32, three of them, got {shown(value)}"
        )
    return tuple(map(float, numbers))


def _scale(value: Any) -> float:
    if not _fits(value) or value < _FLOAT32.tiny:
        raise ValueError(f"scale: expected a finite number of float32 above 0, got {shown(value)}")
    return float(value)


def _fits(value: Any) -> bool:
    """Whether it is a number, and one of float32."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    size: Any = abs(value)  # no float: an integer may be too large for one
    return bool(size <= _FLOAT32.max)


class S3FD(nn.Module):
    """Single Shot Scale-invariant Face Detector (arXiv 1708.05237).

    Scale-equitable levels (section 3.1): strides 4 to 128 with one square anchor each, four times
    as large as its stride, so that a face of any size meets equally dense anchors.

    Args:
        backbone: ``"light"`` (about one million parameters), ``"vgg16"`` (the paper's), or
            ``"mobilenet_v2"`` (that of small published ones, which has five levels: see
            `s3fd.models.mobilenet_v2`).
        options: the other fields of `ModelConfig`.

    Raises:
        ValueError: an option has a value that does not exist.
        TypeError: an option does not exist.

    Example:
        >>> import torch
        >>> model = S3FD("light").eval()
        >>> images = torch.zeros(1, 3, 64, 96, dtype=torch.uint8)
        >>> logits, deltas = model(model.preprocess(images))
        >>> [tuple(level.shape) for level in logits][:2]
        [(1, 4, 16, 24), (1, 2, 8, 12)]
    """

    def __init__(self, backbone: Backbone = "light", **options: object) -> None:
        super().__init__()
        self.config = ModelConfig(backbone, **options)  # type: ignore[arg-type]
        self.backbone = _backbone(self.config)
        backgrounds = (self.config.backgrounds, *(1 for _ in self.backbone.channels[1:]))
        self.grid = replace(self.backbone.grid, backgrounds=backgrounds)
        self.head = MultiBoxHead(
            self.backbone.channels, self.grid.num_backgrounds, self.grid.num_shapes
        )
        for conv in (*self.head.logits, *self.head.deltas):
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)

    def preprocess(self, images: Tensor) -> Tensor:
        """The network's own input.

        Args:
            images: ``[B, 3, H, W]``, RGB, from 0 to 255, uint8 or floating point.

        Returns:
            ``[B, 3, H, W]`` in the channel order of `config`, less its mean, times its scale, in
            the precision of the weights and the memory layout of `images`.
        """
        if images.dim() != 4 or images.shape[1] != 3:
            raise ValueError(
                f"images: expected [B, 3, H, W] in RGB, got {list(images.shape)}; "
                "stack the images along a first dimension"
            )
        dtype = next(self.parameters()).dtype
        if self.config.channel_order == "BGR":
            images = images.flip(1)
        mean = torch.tensor(self.config.mean, dtype=dtype, device=images.device)
        if images.is_contiguous(memory_format=torch.channels_last):
            # Rows of pixels at once: a loop over three channels each would not be vectorised.
            rows = images.permute(0, 2, 3, 1).flatten(2)  # [B, H, W * 3]
            x = rows.to(dtype) - mean.repeat(images.shape[3])
            x = x.unflatten(2, (-1, 3)).permute(0, 3, 1, 2)
        else:
            x = images.to(dtype) - mean[:, None, None]
        return x * self.config.scale if self.config.scale != 1.0 else x

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Raw maps of every level, finest first.

        Args:
            x: ``[B, 3, H, W]``, as `preprocess` makes it.

        Returns:
            Class logits ``[B, backgrounds + 1, H_0, W_0]`` (the face is the last of them) and
            ``[B, 2, H_l, W_l]``; box deltas ``[B, 4, H_l, W_l]``. Where a level of `grid` has two
            anchors a cell, it has twice as many channels, one anchor's after the other's.
        """
        logits, deltas = self.head(self.backbone(x))
        return logits, deltas

    def fuse(self) -> S3FD:
        """Folds batch norms into their convolutions, and joins the head's, in place, for inference.

        The maps are float32 then, whatever the precision of the weights.
        """
        self.eval()
        for module in list(self.modules()):
            if isinstance(module, ConvNorm | MultiBoxHead):
                module.fuse()
        return self


def inference_copy(model: S3FD) -> S3FD:
    """A copy in float32 without batch norms and gradients: the model itself may be trained on.

    Raises:
        TypeError: it is no network, but the name of one, or a detector; or another network, such as
            one that an `S3FD` lies in.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model: expected a network, got {type(model).__name__}; that of a name or a file is "
            "s3fd.models.load_checkpoint(path), or FaceDetector.from_pretrained(name_or_path).model"
        )
    if not _finds_faces(model):
        inside = _finds_faces(getattr(model, "module", None))
        raise TypeError(
            f"model: expected an S3FD, got {type(model).__name__}"
            + "; pass the network inside it (.module)" * inside
        )
    return deepcopy(model).float().fuse().requires_grad_(False)


def _finds_faces(model: object) -> bool:
    """Whether it is an `S3FD`, or has what a detector needs of one."""
    return all(hasattr(model, name) for name in ("preprocess", "fuse", "grid"))


def _backbone(config: ModelConfig) -> LightBackbone | VGG16Backbone | MobileNetV2Backbone:
    if config.layout is not None:
        return MobileNetV2Backbone(config.layout)
    if config.backbone == "vgg16":
        return VGG16Backbone(
            fc6_padding=config.fc6_padding,
            fc6_dilation=config.fc6_dilation,
            pools=config.pools,
        )
    return LightBackbone()
