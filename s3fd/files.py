"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name, or replaces one, only when it is complete.

    Something else than a regular file, such as ``/dev/null`` or a pipe, is written to as it is.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    temporary = path.with_name(f".s3fd-{os.getpid()}-{abs(hash(path.name)):x}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def why_not_writable(folder: Path) -> str | None:
    """Why no file can be made in this folder (which need not exist yet), or None if one can."""
    for ancestor in (folder, *folder.absolute().parents):
        if os.path.lexists(ancestor):
            if not ancestor.is_dir():
                return f"{ancestor} is not a folder"
            if not os.access(ancestor, os.W_OK | os.X_OK):
                return f"no permission to write in {ancestor}"
            return None
    return f"{folder} does not exist"
