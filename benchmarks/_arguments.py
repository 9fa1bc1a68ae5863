"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse


def command_line(name: str, text: str | None) -> argparse.ArgumentParser:
    """A parser of ``benchmarks/NAME.py`` that shows the module's docstring as it is."""
    return argparse.ArgumentParser(
        prog=f"benchmarks/{name}.py",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """``--threads N``."""
    parser.add_argument("--threads", type=positive, metavar="N", help="default: torch's choice")


def positive(text: str) -> int:
    """The type of an argument that counts something."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return int(text)
