"""The vgg16 backbone from weights of VGG16 that were trained on ImageNet."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from s3fd.messages import shown
from s3fd.models.checkpoint import empty_model
from s3fd.models.formats import VGG16_INDICES, VGG16_LAYERS
from s3fd.models.s3fd import S3FD, ModelConfig
from s3fd.models.vgg16 import VGG16Backbone
from s3fd.models.weights_file import check_finite, fitting_tensors, read_weights, state_dict

_CLASSIFIER = tuple(f"classifier.{i}.{name}" for i in (0, 3) for name in ("weight", "bias"))


def initialize_from_imagenet(
    model: S3FD,
    path: str | os.PathLike[str],
    *,
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
) -> tuple[str, ...]:
    """Starts the ``vgg16`` backbone from a VGG16 that was trained on ImageNet, as the paper does.

    The file has torchvision's layout (``features.0.weight`` …, ``classifier.0.weight`` …).
    conv1_1 to conv5_3 are taken over; conv1_1 is converted to the model's own input (channel order,
    mean and scale), so that an image gives the features that it gave there. fc6 and fc7 are sampled
    from the fully connected layers, as SSD (arXiv 1512.02325, section 3) and DeepLab do: every
    fourth channel, and of fc6's 7 x 7 positions every third. Where the file has no classifier, or
    one of NaN (torchvision's ``IMAGENET1K_FEATURES``), fc6 and fc7 stay as they are: Xavier's
    initialisation in a new model. So do the norms, conv6_1 to conv7_2, and the head.

    Args:
        model: with the backbone ``"vgg16"``; changed in place.
        path: a PyTorch or a safetensors file.
        mean: what was subtracted from the RGB input, on the scale 0 to 1, in the training of that
            VGG16. The default is that of torchvision's ``IMAGENET1K_V1``; its
            ``IMAGENET1K_FEATURES`` need ``mean=(0.48235, 0.45882, 0.40784), std=(1 / 255,) * 3``.
        std: what it was divided by afterwards.

    Returns:
        The names of the layers that were initialised.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the model has another backbone, or the file can't be read or holds something
            else than VGG16 in torchvision's layout; the message names the tensors.
    """
    if not isinstance(model.backbone, VGG16Backbone):
        raise ValueError(
            f"model: expected the backbone 'vgg16', got {shown(model.config.backbone)}"
        )
    if len(mean) != 3 or len(std) != 3 or 0 in std:
        raise ValueError(f"mean, std: expected 3 numbers each, std not 0, got {mean}, {std}")
    state = state_dict(read_weights(path).entries)
    shapes = _torchvision_shapes(state)
    tensors = fitting_tensors(path, "VGG16 in torchvision's layout", state, shapes)
    features = {name: tensor for name, tensor in tensors.items() if name.startswith("features.")}
    check_finite(path, features)
    layers = {
        name: (tensors[f"features.{index}.weight"], tensors[f"features.{index}.bias"])
        for name, index in zip(VGG16_LAYERS, VGG16_INDICES, strict=True)
    }
    layers["conv1_1"] = _converted_input(*layers["conv1_1"], model.config, mean, std)
    if _CLASSIFIER[0] in tensors:
        weights = tensors["classifier.0.weight"].reshape(4096, 512, 7, 7)[::4, :, ::3, ::3]
        fc6 = (weights, tensors["classifier.0.bias"][::4])
        weights = tensors["classifier.3.weight"].reshape(4096, 4096, 1, 1)[::4, ::4]
        fc7 = (weights, tensors["classifier.3.bias"][::4])
        if all(bool(tensor.isfinite().all()) for tensor in (*fc6, *fc7)):
            layers |= {"fc6": fc6, "fc7": fc7}
    with torch.no_grad():
        for name, (weight, bias) in layers.items():
            layer = model.backbone.get_submodule(name)
            layer.get_parameter("weight").copy_(weight)
            layer.get_parameter("bias").copy_(bias)
    return tuple(layers)


def _torchvision_shapes(state: Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors of torchvision's VGG16; its classifier only if `state` has one."""
    backbone = empty_model(ModelConfig("vgg16")).backbone
    shapes: dict[str, Tensor] = {
        f"features.{index}.{parameter}": backbone.get_parameter(f"{name}.{parameter}")
        for name, index in zip(VGG16_LAYERS, VGG16_INDICES, strict=True)
        for parameter in ("weight", "bias")
    }
    if any(name.startswith("classifier.") for name in state):
        sizes = [(4096, 512 * 7 * 7), (4096,), (4096, 4096), (4096,)]
        for name, size in zip(_CLASSIFIER, sizes, strict=True):
            shapes[name] = torch.empty(size, device="meta")
        for name in ("classifier.6.weight", "classifier.6.bias"):  # the classes: of no use here
            tensor = state.get(name)
            if isinstance(tensor, Tensor):
                shapes[name] = tensor
    return shapes


def _converted_input(
    weight: Tensor,
    bias: Tensor,
    config: ModelConfig,
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """conv1_1 for the input of `config`, from a conv1_1 for ``(rgb / 255 - mean) / std``.

    ``rgb = x / scale + config.mean``, so that its input is ``factor * x + shift`` in each channel.
    The two are exactly the same but for the padding, which stands for the mean of each.
    """
    weight = weight.double()
    ours = weight.new_tensor(config.mean)
    theirs = 255.0 * weight.new_tensor(mean)
    deviation = 255.0 * weight.new_tensor(std)
    if config.channel_order == "BGR":
        weight, theirs, deviation = weight.flip(1), theirs.flip(0), deviation.flip(0)
    factor = 1.0 / (deviation * config.scale)
    shift = (ours - theirs) / deviation
    converted = bias.double() + (weight.sum(dim=(2, 3)) * shift).sum(dim=1)
    return weight * factor[:, None, None], converted
