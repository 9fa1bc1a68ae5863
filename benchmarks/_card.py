"""Figures in the middle of a document that people have written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks._outputs import why_not_written, write_text

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown."""
    yield f"| {' | '.join(columns)} |"
    yield f"|---|{'---:|' * (len(columns) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def into_card(card: str, lines: Iterable[str]) -> str:
    """The text of a card with other figures.

    Raises:
        ValueError: the card has not both marks, once each and in order.
    """
    head, begin, rest = card.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"card: expected a line {BEGIN!r} and after it a line {END!r}")
    return "\n".join([f"{head}{BEGIN}", *lines, f"{END}{tail}"])


def check_card(file: Path | None) -> None:
    """Finds what would keep figures from being written into a card, before they are made.

    Raises:
        OSError: it can't be read, or written.
        ValueError: as `into_card`.
    """
    if file is not None:
        into_card(file.read_text(encoding="utf-8"), ())
        if why_not := why_not_written(file):
            raise OSError(why_not)


def write_card(file: Path, lines: Iterable[str]) -> None:
    """Writes other figures into a card, whole or not at all; what people write meanwhile stays.

    Raises:
        OSError, ValueError: as `check_card`.
    """
    text = into_card(file.read_text(encoding="utf-8"), lines)
    write_text(file, text)
