"""The log of a run, ``log.jsonl``: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from s3fd.files import naming, whole_file


class RunLog:
    """Appends to a log, after what lies beyond the step of the checkpoint is cut off.

    Args:
        path: the file; made if it is not there.
        step: entries of later steps, and a line that was not finished, are dropped: a resumed run
            writes them again.
        again: the run will write entries of this very step with these names again.
    """

    def __init__(self, path: Path, step: int, again: Collection[str] = ()) -> None:
        self._path = path
        kept = [line for line in _lines(path) if _stays(line, step, again)] if step else []
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


def _stays(line: str, last: int, again: Collection[str]) -> bool:
    try:
        entry = json.loads(line)
        step = float(entry["step"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return step < last or (step == last and not any(name in entry for name in again))
