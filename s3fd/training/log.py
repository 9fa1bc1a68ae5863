"""The log of a run, ``log.jsonl``: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from s3fd.files import naming, whole_file


class RunLog:
    """Appends to a log, after what lies beyond the step of the checkpoint is cut off.

    Args:
        path: the file; made if it is not there.
        step: entries of later steps, and a line that was not finished, are dropped: a resumed run
            writes them again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self._path = path
        kept = [line for line in _lines(path) if _step_of(line) <= step] if step else []
        with whole_file(path, durable=True) as file:
            file.write("".join(kept).encode())

    def write(self, entry: Mapping[str, object]) -> None:
        """Adds a line."""
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(entry)) + "\n")


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [line for line in lines if line.endswith("}\n")]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return float("inf")
