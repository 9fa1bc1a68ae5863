"""Checkpoints of a run: all of its state."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from s3fd.data import Augmentation
from s3fd.files import whole_file
from s3fd.messages import shown
from s3fd.models import ModelConfig
from s3fd.models.weights_file import read_plain
from s3fd.training import files
from s3fd.training.config import TrainingConfig

# What may differ between a run and its continuation: where things are, how fast and how far it
# goes, and what is written.
_FREE = {
    *("data", "form", "classes", "cache", "out", "imagenet", "weights", "corrupt_share", "steps"),
    *("workers", "augment_on", "device"),
    *("accumulate", "checkpoint_every", "validate_every", "validation", "validation_photos"),
    *("validation_size", "calibrate", "start_share", "log_every", "tensorboard"),
}
_FORMAT = 1
_DEFAULTS = TrainingConfig(data=Path(), out=Path(), augmentation=Augmentation())


def save_state(
    path: Path, config: TrainingConfig, network: ModelConfig, state: dict[str, Any]
) -> None:
    """Writes the state of a run of `network` whole or not at all.

    Raises:
        OSError: it can't be written, such as for lack of space; the message names it.
    """
    with whole_file(path, durable=True) as file:
        try:
            described = {"config": _settings(config), "network": _settings(network)}
            torch.save({**state, **described, "format": _FORMAT}, file)
        except RuntimeError as error:  # what torch says of a full disk, of which it was told
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_state(path: Path, config: TrainingConfig, network: ModelConfig) -> dict[str, Any]:
    """Reads the state of the run that `config` continues.

    Args:
        path: the file.
        config: the settings.
        network: the one that goes on. The tensors of another variant of it may have the same
            shapes.

    Raises:
        ValueError: it cannot be read, or was made with other settings or of another network; the
            message names what differs.
    """
    state = read_plain(path)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ValueError(f"{path}: no checkpoint of a run of this version of s3fd; start a new run")
    if not isinstance(state.get("config"), dict):
        raise ValueError(f"{path}: damaged: it holds no settings of its run; start a new run")
    differing = _differing(state["config"], _settings(_DEFAULTS), _settings(config))
    if differing:
        raise ValueError(f"{path} belongs to a run with other settings: {differing}")
    # One that does not describe its network was written by an older s3fd.
    network_there = state.get("network", _settings(network))
    if not isinstance(network_there, dict):
        raise ValueError(f"{path}: damaged: it does not describe its network; start a new run")
    differing = _differing(network_there, _settings(ModelConfig()), _settings(network))
    if differing:
        raise ValueError(
            f"{path} belongs to a run of another network: {differing}; set weights to those that "
            f"it started from, or to {path.with_name(files.WEIGHTS)}"
        )
    return state


def _differing(saved: dict[str, Any], defaults: dict[str, Any], wanted: dict[str, Any]) -> str:
    """What a file says otherwise; what is younger than the file did nothing by its default."""
    saved, wanted = _flat(defaults) | _flat(saved), _flat(wanted)
    return ", ".join(
        f"{name} ({shown(saved.get(name))} there)"
        for name in sorted(saved.keys() | wanted.keys())
        if name not in _FREE and saved.get(name) != wanted.get(name)
    )


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of this process's random generators."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Goes on from `random_state`; that of another kind of device is left out."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _settings(settings: TrainingConfig | ModelConfig) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(asdict(settings))
    return plain


def _plain(value: Any) -> Any:
    """Without paths and tuples: what comes back from a file equals what went into it."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The same with the settings of tables beside the others: ``augmentation.flip``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
