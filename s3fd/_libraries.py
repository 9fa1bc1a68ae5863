"""Where the compiled libraries are, and which C++ sources they were built from.

``python s3fd/_libraries.py csrc`` prints the stamp of a folder's sources. The build stores it
beside the libraries, so that a source folder knows those of an installed package for its own.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

STAMP = "_sources.txt"
_SUFFIXES = {".h", ".cpp", ".cuh", ".cu"}


def library_path(name: str) -> Path:
    """Where the compiled library ``name`` is, or would be if it were there."""
    spec = find_spec(f"s3fd.{name}")  # an editable install keeps it outside the source folder
    if spec is not None and spec.origin is not None:
        return Path(spec.origin)
    return Path(__file__).with_name(f"{name}.dll" if os.name == "nt" else f"{name}.so")


def stamp(folder: Path) -> str:
    """A hash of the names and contents of all C++ sources below ``folder``."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        if path.suffix in _SUFFIXES:
            whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def built_from_the_same(package: Path, search_path: Iterable[str]) -> list[str]:
    """The folder of an installed package whose libraries serve the source folder ``package``.

    Where Python starts in the root of the sources, it finds ``package`` before what is installed.
    """
    sources = package.parent / "csrc"
    if not sources.is_dir():
        return []
    for entry in search_path:
        folder = Path(entry, package.name).resolve()
        file = folder / STAMP
        if folder != package and file.is_file() and file.read_text().strip() == stamp(sources):
            return [str(folder)]
    return []


if __name__ == "__main__":
    print(stamp(Path(sys.argv[1])))
