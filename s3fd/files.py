"""Files that are written whole or not at all."""

from __future__ import annotations

import io
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image


@contextmanager
def whole_file(path: Path, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """A file that appears under its name, or replaces one, only when it is complete.

    Something else than a regular file, such as ``/dev/null`` or a pipe, is written to as it is.
    What a process that was killed had begun stays beside it, and is in nobody's way; see
    `remove_unfinished`.

    Args:
        path: the file; a link is followed.
        durable: whether it appears only when all of it is on the disk, and stays through a loss of
            power.

    Raises:
        FileNotFoundError: its folder does not exist.
        OSError: it can't be written, such as for lack of space; the message names it.
    """
    if path.exists() and not path.is_file():  # as it was given: /dev/stdout leads to no path
        with naming(path), path.open("wb") as file:
            yield file
        return
    path = Path(os.path.realpath(path))
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; create it first")
    temporary = path.with_name(f"{_beginning(path)}{secrets.token_hex(8)}.tmp")
    try:
        with naming(path):
            with temporary.open("xb") as file:
                yield file
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


def write_picture(picture: Image.Image, path: Path, kind: str, **options: Any) -> None:
    """Writes a picture whole or not at all.

    Pillow itself writes to the descriptor of a file, and does not see that a disk that gets full
    takes a part alone.

    Args:
        picture: of a mode that files of this kind have.
        path: as of `whole_file`.
        kind: what Pillow calls it, such as ``"JPEG"``.
        **options: of Pillow's, such as ``quality``.

    Raises:
        FileNotFoundError, OSError: as `whole_file`.
    """
    encoded = io.BytesIO()
    picture.save(encoded, kind, **options)
    with whole_file(path) as file:
        file.write(encoded.getbuffer())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the name of a file to an error that lacks it, as that of a full disk does."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def lock(file: IO[bytes], *, wait: bool = False) -> bool:
    """Keeps a file from being locked by others until it is closed; False: one of them was first.

    True as well where neither Windows nor the file system can tell.

    Args:
        file: open. Processes that are forked from this one hold the lock, too, until they end or
            close it.
        wait: until the others have closed it, instead of giving False.
    """
    if sys.platform == "win32":
        return True
    import fcntl  # which Windows lacks

    with suppress(OSError):
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def remove_unfinished(path: Path) -> None:
    """Removes what processes that were killed had begun to write under this name.

    A process that is still writing it would fail.
    """
    name = re.compile(re.escape(_beginning(path)) + r"[0-9a-f]{16}\.tmp")
    for left in path.parent.iterdir():
        if name.fullmatch(left.name):
            left.unlink(missing_ok=True)


def _beginning(path: Path) -> str:
    """Of the names of unfinished files: hidden, and short enough whatever the name."""
    return f".{path.name[:40]}."


def _sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system knows how."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def one_of(files: Iterable[Path], others: Iterable[Path]) -> Path | None:
    """The first of a few files that is one of any number of others, by whatever name; or None."""
    there = [(file, file.stat()) for file in files if file.exists()]
    for other in others if there else ():
        with suppress(OSError):  # it is not there
            status = other.stat()
            for file, its in there:
                if os.path.samestat(its, status):
                    return file
    return None


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
