"""Figures in the middle of a document that people have written."""

from __future__ import annotations

from collections.abc import Iterable

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


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
