"""Models to files and back: this project's own files, and the published formats."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from s3fd.messages import shown
from s3fd.models.caffe import is_caffemodel, read_caffe_model
from s3fd.models.formats import FORMATS, recognize
from s3fd.models.s3fd import S3FD, ModelConfig
from s3fd.models.weights_file import (
    Weights,
    check_finite,
    fitting_tensors,
    listing,
    read_weights,
    state_dict,
    write_weights,
)

_VERSION_KEY = "s3fd.format"
_CONFIG_KEY = "s3fd.config"
_VERSION = "1"
_WEIGHTS_FOLDER = Path(__file__).parent.parent / "weights"


def save_checkpoint(
    model: S3FD, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None
) -> None:
    """Writes weights and the whole `ModelConfig` to a safetensors file, or leaves it as it was.

    Args:
        model: on any device, in any precision, which the file keeps.
        path: an existing file is replaced at the very end, in one step.
        metadata: more text to keep in the file's header, by name.

    Raises:
        TypeError: the model is no `S3FD`, or the metadata hold something else than text.
        ValueError: the batch norms of the model are folded (`S3FD.fuse`), or the metadata use a
            name that the format itself needs.
        FileNotFoundError: the folder does not exist.
    """
    if not isinstance(model, S3FD):
        raise TypeError(
            f"model: expected an S3FD, got {type(model).__name__}; pass the model inside it"
        )
    metadata = dict(metadata or {})
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata: expected text by name, got {shown(name)}: {shown(value)}")
    reserved = metadata.keys() & {_VERSION_KEY, _CONFIG_KEY}
    if reserved:
        raise ValueError(
            f"metadata: {listing(reserved)} belongs to the format itself; use another name"
        )
    state = model.state_dict()
    if state.keys() != empty_model(model.config).state_dict().keys():
        raise ValueError(
            "model: its layers are not those of its config, as after fuse(); save it before"
        )
    metadata[_VERSION_KEY] = _VERSION
    metadata[_CONFIG_KEY] = json.dumps(asdict(model.config))
    write_weights(path, state, metadata)


def load_checkpoint(
    path: str | os.PathLike[str], *, prototxt: str | os.PathLike[str] | None = None
) -> S3FD:
    """Builds the network that a file of weights belongs to, and loads them.

    The format is recognised by the names of the tensors, and decides the network (see
    `s3fd.models.formats`):

    - files of `save_checkpoint`, whose metadata describe the network;
    - ``conv1_1.weight``, ``conv3_3_norm_mbox_conf.weight``: the ports of the released Caffe model
      (SFD_pytorch, face-alignment, Wav2Lip);
    - ``vgg.0.weight``, ``L2Norm3_3.weight``: S3FD.pytorch and syncnet_python;
    - ``vgg.0.weight``, ``conv3_3_L2Norm.weight``: luuuyi/S3FD.PyTorch;
    - Caffe's own ``.caffemodel``: the authors' VGG16, and the small MobileNetV2s of bonseyes/SFD.

    Those of PyTorch may be PyTorch or safetensors files, may lie in an entry of a training
    checkpoint (``weight``, ``state_dict``) and may have `DataParallel`'s prefix ``module.``.
    Nothing in a file is run (``weights_only=True``).

    Args:
        path: the file.
        prototxt: the network to run a .caffemodel in, as Caffe itself takes it. A .caffemodel
            describes the one that it was trained in, which is what None means.

    Returns:
        The model on the CPU, in torch's default precision, in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file can't be read, its format is unknown, or it lacks a tensor, has one
            too many, one of another shape, or one with NaN or infinite numbers, or a network of
            Caffe's is no S3FD; the message names the file and the tensors or the layer.

    Example:
        >>> import tempfile
        >>> from s3fd.models import S3FD, load_checkpoint, save_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(S3FD("light", channel_order="BGR"), f"{folder}/face.safetensors")
        ...     load_checkpoint(f"{folder}/face.safetensors").config.channel_order
        'BGR'
    """
    if is_caffemodel(Path(path)):
        with torch.device("cpu"):  # whatever torch's default is
            caffe = read_caffe_model(Path(path), None if prototxt is None else Path(prototxt))
        return _filled(empty_model(caffe.config), path, "a network of Caffe's", *caffe[1:])
    if prototxt is not None:
        raise ValueError(f"prototxt: expected None where the weights are no .caffemodel, {path}")
    weights = read_weights(path)
    if _CONFIG_KEY in weights.metadata:
        model = _described_model(path, weights)
        keys = {name: name for name in model.state_dict()}
        return _filled(model, path, "a file of s3fd", weights.entries, keys)
    state = state_dict(weights.entries)
    recognized = recognize(state)
    if recognized is None:
        raise ValueError(_unknown_format(path, state))
    return _filled(empty_model(recognized.config), path, recognized.name, state, recognized.keys)


def pretrained_path(name: str) -> Path:
    """The file of bundled weights of this name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    available = {path.stem: path for path in _WEIGHTS_FOLDER.glob("*.safetensors")}
    if name not in available:
        raise ValueError(
            f"name: expected bundled weights ({listing(available) or 'there are none'}) "
            f"or the path of a file, got {shown(name)}"
        )
    return available[name]


def weights_path(name_or_path: str | os.PathLike[str]) -> Path:
    """The file of bundled weights of this name, or else the file that is there.

    Raises:
        TypeError: it is no name and no path.
        FileNotFoundError: neither bundled weights nor a file have this name.
    """
    if not isinstance(name_or_path, str | os.PathLike):
        hint = "; FaceDetector(model) takes a network" * isinstance(name_or_path, nn.Module)
        raise TypeError(
            "name_or_path: expected the name of bundled weights or the path of a file, got "
            f"{type(name_or_path).__name__}{hint}"
        )
    try:
        return pretrained_path(os.fspath(name_or_path))
    except ValueError as error:
        path = Path(name_or_path)
        if path.exists():
            return path
        message = str(error).replace("name:", "name_or_path:", 1)
        raise FileNotFoundError(f"{message}; there is no such file") from None


def empty_model(config: ModelConfig) -> S3FD:
    """The network without memory for its weights, and without a draw from the random generator."""
    options = asdict(config)
    with torch.device("meta"):
        return S3FD(options.pop("backbone"), **options)


def _filled(
    model: S3FD,
    path: str | os.PathLike[str],
    origin: str,
    state: Mapping[str, object],
    keys: Mapping[str, str],
) -> S3FD:
    """The model with the tensors of a file; `keys` leads from their names there to the model's."""
    empty = model.state_dict()
    shapes = {theirs: empty[ours] for theirs, ours in keys.items()}
    # Copies: a tensor in a file may be a view of the file, or of another tensor.
    copies = {
        name: tensor.to(shapes[name].dtype).clone(memory_format=torch.contiguous_format)
        for name, tensor in fitting_tensors(path, origin, state, shapes).items()
    }
    check_finite(path, copies)
    model.load_state_dict({keys[name]: tensor for name, tensor in copies.items()}, assign=True)
    return model.eval()


def _described_model(path: str | os.PathLike[str], weights: Weights) -> S3FD:
    """The network that the metadata of one of our files describe."""
    version = weights.metadata.get(_VERSION_KEY)
    if version != _VERSION:
        raise ValueError(
            f"{path}: expected format {_VERSION}, got {version}; a newer s3fd has written the "
            "file: upgrade s3fd"
        )
    reference = json.loads(json.dumps(asdict(ModelConfig())))
    try:
        values = json.loads(weights.metadata[_CONFIG_KEY])
        if isinstance(values, dict):
            older = {name: reference[name] for name in ("backgrounds", "layout")}
            values = {**older, **values}  # files from before these fields have their defaults
        if not isinstance(values, dict) or values.keys() != reference.keys():
            raise ValueError(f"expected the fields {listing(reference, limit=len(reference))}")
        for name, value in values.items():
            if name != "layout" and not _same_kind(value, reference[name]):
                raise ValueError(
                    f"{name}: expected a value like {reference[name]}, got {shown(value)}"
                )
        return empty_model(ModelConfig(**values))
    except ValueError as error:
        raise ValueError(
            f"{path}: the description of the network in its metadata ({_CONFIG_KEY}) is damaged: "
            f"{error}; write the file again with save_checkpoint"
        ) from None


def _same_kind(value: object, reference: object) -> bool:
    if isinstance(reference, list):
        return (
            isinstance(value, list)
            and len(value) == len(reference)
            and all(_same_kind(v, r) for v, r in zip(value, reference, strict=True))
        )
    if isinstance(reference, float):
        return type(value) in (int, float)
    return type(value) is type(reference)


def _unknown_format(path: str | os.PathLike[str], state: Mapping[str, object]) -> str:
    names = list(state)
    if any(name.startswith(("backbone.", "head.")) for name in names):
        return (
            f"{path}: weights of s3fd without the description of their network, which the same "
            "shapes do not tell; load a file that save_checkpoint or training wrote (.safetensors)"
        )
    if "features.0.weight" in state:
        return (
            f"{path}: VGG16 of ImageNet, which finds no faces; start training from it "
            "(s3fd.models.imagenet.initialize_from_imagenet)"
        )
    known = "; ".join(f"{published.example}: {published.name}" for published in FORMATS)
    return (
        f"{path}: unknown format with {len(names)} entries ({listing(names)}); expected a file of "
        f"save_checkpoint, or a published one with names such as: {known}"
    )
