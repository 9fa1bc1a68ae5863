"""The files of a run, each written whole or not at all, and kept through a loss of power."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

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


@contextmanager
def durable_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name, or replaces one, when all of it is on the disk."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system knows how."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Removes what a process that was killed had not written to the end."""
    for name in (LAST, BEST, WEIGHTS, BEST_WEIGHTS, LOG):
        for path in folder.glob(f".{name}.*tmp"):
            path.unlink()
