"""Which C++ sources the compiled libraries were built from.

``python s3fd/_sources.py csrc`` prints the stamp of a folder's sources. The build stores it beside
the libraries, so that a source folder can tell whether those of an installed package are its own.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

STAMP = "_sources.txt"
_SUFFIXES = {".h", ".cpp", ".cuh", ".cu"}


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
