"""What messages quote: never long, and never more than it looks like."""

from __future__ import annotations

import reprlib

_MOST = 80
_LONGEST_LINE = 1000

# A value of a file may hold itself a thousand times over: its whole text would fill the memory.
_short = reprlib.Repr()
_short.maxlevel, _short.maxlist, _short.maxdict, _short.maxtuple = 3, 6, 6, 6
_short.maxstring = _short.maxother = _short.maxlong = _MOST


def shown(value: object) -> str:
    """A value that came, as Python writes it, but in a few words.

    Example:
        >>> shown([1.5, "a" * 200])
        "[1.5, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa']"
    """
    return shortened(_short.repr(value), 2 * _MOST)


def shortened(text: str, most: int = _MOST) -> str:
    """The text, or its beginning and an ellipsis.

    Example:
        >>> shortened("12 13 14 15", 8)
        '12 13...'
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def one_line(text: object) -> str:
    r"""A text in one line that a terminal shows as it is: file names and labels hold anything.

    Example:
        >>> print(one_line("not YAML:\n  line 3 \x1b[31m"))
        not YAML: line 3 \x1b[31m
    """
    words = "".join(c if c.isprintable() or c.isspace() else repr(c)[1:-1] for c in str(text))
    line = " ".join(words.split())
    half = _LONGEST_LINE // 2
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"
