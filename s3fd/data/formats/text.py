"""Text and JSON as people's tools write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from s3fd.messages import one_line, shortened, shown

MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What it raises to look into values of a file that has another form, or is damaged."""

_END = "the end of the file"

LOOKED_AT = 65536
"""Characters at the beginning of a file, by which its form is known."""


def malformed(error: Exception) -> str:
    """What is wrong with a value that could not be looked into, in words.

    Example:
        >>> malformed(KeyError("width"))
        "it lacks 'width'"
    """
    if isinstance(error, KeyError) and error.args:
        return f"it lacks {shown(error.args[0])}"
    if isinstance(error, TypeError | ValueError):
        return shortened(one_line(error), 200)
    return shown(error)


def beginning_of(file: Path, characters: int = LOOKED_AT) -> str:
    """So many characters of a file without its byte order mark, or all of it, whatever it holds."""
    with file.open(encoding="utf-8-sig", errors="replace") as opened:
        return opened.read(characters)


def read_text(file: Path) -> str:
    """Reads a text in UTF-8, with or without a byte order mark.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no text.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"data: {file} does not exist") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not a text file ({error})") from error


def read_json(file: Path, *lists: str) -> dict[str, Any]:
    """Reads a JSON object and checks that it has these lists.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or lacks one of the lists.
    """
    expected = f"{file}: expected a JSON object with " + " and ".join(
        f'a list "{name}"' for name in lists
    )
    if not file.is_file():
        raise FileNotFoundError(f"data: {file} does not exist; name the folder that holds it")
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{expected} ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{expected}, got a {type(content).__name__}")
    for name in lists:
        if not isinstance(content.get(name), list):
            raise ValueError(f"{expected}; {name!r} is not one")
    return content


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text with their numbers, from 1; empty ones are passed over.

    Raises:
        FileNotFoundError, ValueError: as `read_text`.
    """
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if stripped := line.strip():
            yield number, stripped


def numbers(text: str) -> list[float]:
    """The numbers of a line; none where it holds anything else."""
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return []


def pairs(points: Any) -> NDArray[np.float64]:
    """Points ``[N, 2]``, of numbers or of texts.

    Raises:
        ValueError: there is none, or one is no pair of numbers.
    """
    try:
        array = np.array(points, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        raise ValueError(f"expected points, two numbers each, got {shown(points)}")
    return array


class Row(NamedTuple):
    """A line of numbers in a listing.

    Attributes:
        where: which it is, such as ``list.txt:7: face 2 of 3 in 2002/a``.
        text: what it holds.
    """

    where: str
    text: str


def read_listing(file: Path, what: str) -> Iterator[tuple[str, list[Row]]]:
    """Reads a list of photos: of each its name, a count, and so many lines of numbers.

    So the labels of WIDER FACE and FDDB are written, and detections for FDDB. After a count of 0 a
    line of zeros may follow, as WIDER FACE has it.

    Args:
        file: the text.
        what: a line stands for, such as ``"face"``.

    Yields:
        The name of each photo and its lines, which are not looked into; one that is missing at the
        end of the file says so in its place. Whoever looks into them before the next photo is the
        first to find what is wrong.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is malformed, or a photo comes twice; the message names file and line.
    """
    names: set[str] = set()
    lines = list(numbered_lines(file))
    at = 0

    def line(index: int) -> tuple[int, str]:
        last = lines[-1][0] if lines else 0
        return lines[index] if index < len(lines) else (last + 1, _END)

    while at < len(lines):
        number, name = lines[at]
        known_as = shortened(name)
        if name in names:
            raise ValueError(f"{file}:{number}: {known_as} comes twice")
        if numbers(name):
            raise ValueError(
                f"{file}:{number}: expected the name of a photo, got {shown(known_as)}; is "
                f"the number of {what}s above wrong?"
            )
        number, count = line(at + 1)
        if not re.fullmatch(r"\d{1,9}", count):
            raise ValueError(
                f"{file}:{number}: expected the number of {what}s in {known_as}, got "
                f"{shortened(count)}"
            )
        wanted = range(min(int(count), len(lines) - at))
        rows = [(index + 1, *line(at + 2 + index)) for index in wanted]
        names.add(name)
        yield (
            name,
            [
                Row(f"{file}:{number}: {what} {index} of {count} in {known_as}", text)
                for index, number, text in rows
            ],
        )
        at += 2 + int(count)
        if count == "0" and re.fullmatch(r"0(\s+0){3,}", line(at)[1]):
            at += 1
