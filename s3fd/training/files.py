"""The names of a run's files."""

from __future__ import annotations

from pathlib import Path

from s3fd import files

LAST = "last.pt"
"""All state, for ``--resume``."""
BEST = "best.pt"
"""The same at the best validation so far."""
WEIGHTS = "model.safetensors"
"""The averaged weights of `LAST`."""
BEST_WEIGHTS = "best.safetensors"
"""Those of `BEST`."""
LOG = "log.jsonl"
"""Losses, speed and validations."""


def remove_unfinished(folder: Path) -> None:
    """Removes what a process that was killed had not written to the end."""
    for name in (LAST, BEST, WEIGHTS, BEST_WEIGHTS, LOG):
        files.remove_unfinished(folder / name)
