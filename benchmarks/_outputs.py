"""The files that benchmarks write: looked at before the work, and written whole after it."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from s3fd.files import whole_file, why_not_writable

_PLOTS = (".png", ".svg", ".pdf")


def output_file(*suffixes: str) -> Callable[[str], Path]:
    """The type of an argument that names a file to write, with one of these suffixes if any."""

    def checked(text: str) -> Path:
        file = Path(text)
        if suffixes and file.suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(
                f"expected a name that ends in {', '.join(suffixes)}, got {text}"
            )
        if why_not := why_not_written(file):
            raise argparse.ArgumentTypeError(why_not)
        return file

    return checked


def plot_file(text: str) -> Path:
    """The type of an argument that names a plot to draw."""
    if find_spec("matplotlib") is None:
        raise argparse.ArgumentTypeError("needs matplotlib; `pip install s3fd[bench]` brings it")
    return output_file(*_PLOTS)(text)


def why_not_written(file: Path) -> str | None:
    """What would keep a file from being written, in words; None where nothing would."""
    if file.is_dir():
        return f"{file} is a folder; name a file in it"
    if file.exists() and not file.is_file():  # such as /dev/stdout
        return None
    folder = Path(os.path.realpath(file)).parent
    if not folder.is_dir():
        return f"there is no folder {folder}; create it first"
    return why_not_writable(folder)


def write_text(file: Path, text: str) -> None:
    """Writes a text.

    Raises:
        OSError: it can't be written; what was there before stays.
    """
    with whole_file(file) as opened:
        opened.write(text.encode())


def write_json(file: Path, record: Any) -> None:
    """Writes figures, as `write_text` does."""
    write_text(file, json.dumps(record, indent=2) + "\n")


def write_figure(file: Path, figure: Any, dpi: int = 120) -> None:
    """Draws a figure of matplotlib's, as `write_text` writes."""
    with whole_file(file) as opened:
        figure.savefig(opened, format=file.suffix[1:].lower(), dpi=dpi)
