"""Checkpoints of a run: all of its state, written whole or not at all."""

from __future__ import annotations

import os
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from s3fd.training.config import TrainingConfig

FILE_NAME = "checkpoint.pt"
# What may differ between a run and its continuation: where things are, how fast and how far it
# goes.
_FREE = {"data", "out", "steps", "workers", "device", "checkpoint_every", "imagenet"}


def save_state(config: TrainingConfig, state: dict[str, Any]) -> None:
    """Writes ``config.out/checkpoint.pt``: to a temporary file, to the disk, then renamed."""
    path = config.out / FILE_NAME
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        torch.save({**state, "config": _plain(config)}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_state(config: TrainingConfig) -> dict[str, Any]:
    """Reads the checkpoint of the run that `config` continues.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it cannot be read, or was made with other settings, which the message names.
    """
    path = config.out / FILE_NAME
    if not path.is_file():
        raise FileNotFoundError(f"out: {path} does not exist; start without --resume")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path}: cannot be read as a checkpoint ({error})") from error
    saved, wanted = state["config"], _plain(config)
    differing = [name for name in wanted if name not in _FREE and saved[name] != wanted[name]]
    if differing:
        changes = ", ".join(f"{name} ({saved[name]} there)" for name in differing)
        raise ValueError(f"{path} belongs to a run with other settings: {changes}")
    return state


def _plain(config: TrainingConfig) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(config).items()
    }
