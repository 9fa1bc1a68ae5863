"""Checkpoints of a run: all of its state."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from s3fd.data import Augmentation
from s3fd.files import whole_file
from s3fd.messages import shown
from s3fd.models.weights_file import read_plain
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


def save_state(path: Path, config: TrainingConfig, state: dict[str, Any]) -> None:
    """Writes the state of a run whole or not at all.

    Raises:
        OSError: it can't be written, such as for lack of space; the message names it.
    """
    with whole_file(path, durable=True) as file:
        try:
            torch.save({**state, "config": _plain(asdict(config)), "format": _FORMAT}, file)
        except RuntimeError as error:  # what torch says of a full disk, of which it was told
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_state(path: Path, config: TrainingConfig) -> dict[str, Any]:
    """Reads the state of the run that `config` continues.

    Raises:
        ValueError: it cannot be read, or was made with other settings, which the message names.
    """
    state = read_plain(path)
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise ValueError(f"{path}: no checkpoint of a run of this version of s3fd; start a new run")
    if not isinstance(state.get("config"), dict):
        raise ValueError(f"{path}: damaged: it holds no settings of its run; start a new run")
    # A setting that is younger than the run did nothing by its default.
    saved = _flat(_plain(asdict(_DEFAULTS))) | _flat(state["config"])
    wanted = _flat(_plain(asdict(config)))
    differing = [
        f"{name} ({shown(saved.get(name))} there)"
        for name in sorted(saved.keys() | wanted.keys())
        if name not in _FREE and saved.get(name) != wanted.get(name)
    ]
    if differing:
        raise ValueError(f"{path} belongs to a run with other settings: {', '.join(differing)}")
    return state


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
