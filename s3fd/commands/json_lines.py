"""The lines of ``s3fd detect --json``: each written at once, so that a run can be gone on with."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from s3fd.commands.options import UsageError
from s3fd.commands.outputs import write_line
from s3fd.files import lock, naming

_BEGINNINGS = (b'{"photo"', b'{"video"')  # of a line
_LOOKED_AT = 1 << 20  # bytes of a first line: other JSON may have gigabytes in one


class JsonLines:
    """Where lines go, and what earlier runs have written there; a context.

    What is done stands in a table on the disk: the names of millions of photos are not in memory.

    Attributes:
        photos: how many photos and videos earlier runs have done.
        failures: how many lines of errors they have left.

    Args:
        json_file: a file, ``-`` for the standard output, or None for nowhere.
        resume: whether to go on with the file; otherwise it is begun anew.

    Raises:
        UsageError: the file can't be gone on with, or another process writes to it.
    """

    def __init__(self, json_file: str | None, *, resume: bool = False) -> None:
        self.photos = self.failures = 0
        self._file: IO[bytes] | None = None
        self._prints = json_file == "-"
        self._done = sqlite3.connect("")  # a temporary file
        self._done.execute("CREATE TABLE done (name BLOB PRIMARY KEY, drawn BLOB) WITHOUT ROWID")
        if json_file is None or self._prints:
            if resume:
                raise UsageError("--resume", "expected --json FILE, which it goes on with")
            return
        path = Path(json_file)
        is_special = path.exists() and not path.is_file()
        if is_special and resume:
            raise UsageError(
                "--resume", f"{path} is no regular file, there is nothing to go on with"
            )
        self._file = path.open("ab", buffering=0)  # nothing is lost before the lock is there
        if is_special:
            return
        try:
            if not lock(self._file):
                raise UsageError(
                    "--json", f"{path} is being written by another process; wait, or take another"
                )
            self._file.truncate(self._read(path) if resume else 0)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        self._done.close()
        if self._file is not None:
            self._file.close()

    def write(self, line: str) -> None:
        """Writes a line; when this returns, it is there whatever becomes of this process."""
        if self._prints:
            write_line(line)
        elif self._file is not None:
            rest = memoryview(line.encode() + b"\n")
            with naming(Path(self._file.name)):
                while rest:  # a disk that gets full takes a part
                    rest = rest[self._file.write(rest) :]

    def __contains__(self, name: str | Path) -> bool:
        """Whether an earlier run has done this photo, or said that it can't be."""
        found = self._done.execute("SELECT 1 FROM done WHERE name = ?", [_key(name)])
        return found.fetchone() is not None

    def drawn(self) -> Iterator[Path]:
        """The copies with boxes that earlier runs have made."""
        for (path,) in self._done.execute("SELECT drawn FROM done WHERE drawn IS NOT NULL"):
            yield Path(os.fsdecode(path))

    def _read(self, path: Path) -> int:
        """Notes what is done, and gives the number of bytes that stay."""
        end, group = 0, _Group()
        with path.open("rb") as file, closing(self._done.cursor()) as table:
            for number, line in enumerate(file, start=1):
                record = _parsed(line)
                if record is None:
                    if not _is_cut(line):
                        raise UsageError(
                            "--resume",
                            f"{path}, line {number}: expected a line of `s3fd detect --json`; "
                            "correct or remove it, or begin anew without --resume",
                        )
                    break  # it was being written when the run ended
                name = record.get("video", record.get("photo"))
                if name != group.name:
                    self._note(table, group)
                    group = _Group(name, start=end)
                group.add(record)
                end += len(line)
            if group.frames:  # perhaps not all of the video: it is done anew
                return group.start
            self._note(table, group)
        return end

    def _note(self, table: sqlite3.Cursor, group: _Group) -> None:
        if group.name is not None:
            self.photos += 1
            self.failures += group.failures
            row = [_key(group.name), None if group.drawn is None else _key(group.drawn)]
            table.execute("INSERT OR REPLACE INTO done VALUES (?, ?)", row)


@dataclass
class _Group:
    """Lines that stand together, all about one photo or video."""

    name: str | None = None
    start: int = 0  # in the file
    frames: int = 0
    failures: int = 0
    drawn: str | None = None

    def add(self, record: dict[str, Any]) -> None:
        self.frames += "video" in record
        self.failures += "error" in record
        self.drawn = record.get("drawn", self.drawn)


def holds_lines(file: Path) -> bool:
    """Whether a file holds such lines, by its first one; or nothing yet."""
    with suppress(OSError), file.open("rb") as opened:
        first = opened.readline(_LOOKED_AT)
        return not first or _parsed(first) is not None or _is_cut(first)
    return False


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record that a line is; None for anything else, and for a part of one."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
        if isinstance(record, dict) and isinstance(record.get("drawn"), str | None):
            name, drawn = record.get("video", record.get("photo")), record.get("drawn") or ""
            if isinstance(name, str) and _key(name) and _key(drawn):  # some text is no name
                return record
    except (RecursionError, ValueError):
        pass
    return None


def _is_cut(line: bytes) -> bool:
    """Whether it is the beginning of a line, or what a disk that lost power has in its place."""
    if line.endswith(b"\n"):
        return False
    ours = any(line.startswith(begin) or begin.startswith(line) for begin in _BEGINNINGS)
    return ours or not line.strip(b"\0")


def _key(name: str | Path) -> bytes:
    """What a file is called from anywhere; names need not be text."""
    return os.fsencode(Path(name).absolute())
