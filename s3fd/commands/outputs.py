"""What commands print and write, and the options that ask for it."""

# Annotations are not left as text here: cyclopts would look up those of `Outputs` in the modules of
# the classes that extend it.

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Parameter
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from s3fd.commands.options import RESULTS, UsageError, option
from s3fd.files import whole_file, why_not_writable
from s3fd.messages import one_line
from s3fd.photos import PhotoSearch


def _check_dash(_: Any, file: str | None) -> None:
    if file and file.startswith("-") and file != "-":
        raise ValueError("Expected a file, or - for the standard output.")


JsonFile: TypeAlias = Annotated[
    str | None,
    option("FILE", name="--json", allow_leading_hyphen=True, validator=_check_dash),
]
File: TypeAlias = Annotated[Path | None, option("FILE")]
Folder: TypeAlias = Annotated[Path | None, option("DIR")]

Kind: TypeAlias = Literal["error", "warning", "note", "more in"]
"""Of a message."""

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold yellow", "more in": "bold"}


@Parameter(name="*", group=RESULTS)
@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files that a command writes besides the table it prints.

    Attributes:
        json_file: Write the figures as JSON; - for the standard output.
        plot: Draw the figures: .png, .svg or .pdf; needs matplotlib.
    """

    json_file: JsonFile = None
    plot: File = None

    def check(self) -> None:
        """Finds what would keep them from being written before any work is done."""
        check_json_file(self.json_file)
        if self.plot is not None:
            _check_plot(self.plot)

    def publish(self, record: dict[str, Any], table: Table) -> None:
        """Prints the table, or the record instead, and writes the record."""
        text = json.dumps(record, indent=2)
        if self.json_file == "-":
            write_line(text)
            return
        Console(highlight=False).print(table)
        if self.json_file is not None:
            with whole_file(Path(self.json_file)) as file:
                file.write(text.encode() + b"\n")


def write_line(text: str) -> None:
    """Writes to the standard output, at once.

    Raises:
        OSError: nobody reads it, or it is closed.
    """
    if sys.stdout is None:
        raise OSError("the standard output is closed")
    print(text, flush=True)


def say(kind: Kind, text: str, console: Console | None = None) -> None:
    """Says on the standard error, in a line, what a user should know.

    Args:
        kind: what stands before it, in the colour that all messages of this kind have.
        text: itself; what a terminal does not show as it is, is escaped.
        console: the standard error, where it shows progress, too.
    """
    message = Text.assemble((f"{kind}: ", _STYLES[kind]), one_line(text))
    (console or error_console()).print(message, soft_wrap=True)


def error_console() -> Console:
    """The standard error."""
    return Console(stderr=True, highlight=False)


def name_value_table(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Two columns: names, and what they are."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value) if isinstance(value, str) else value)
    return table


def progress_bar(what: str, *, console: Console | None = None, shown: bool = True) -> Progress:
    """A bar on the standard error, such as ``3 of 8 photos``."""
    return Progress(
        TextColumn("{task.completed} of {task.total} " + what),
        BarColumn(),
        TimeRemainingColumn(),
        console=console or error_console(),
        transient=True,
        disable=not shown,
    )


def check_json_file(json_file: str | None, photos: PhotoSearch | None = None) -> None:
    """Finds what would keep ``--json`` from being written before any work is done.

    Args:
        json_file: a path, ``-`` for the standard output, or None.
        photos: that it must not replace.
    """
    if json_file is not None and json_file != "-":
        check_output_file(Path(json_file), "--json", photos)


def check_output_file(file: Path | None, option: str, photos: PhotoSearch | None = None) -> None:
    """Finds what would keep the file of an option from being written before any work is done.

    Args:
        file: to be written; None for none.
        option: its name, such as ``--json``.
        photos: that it must not replace.
    """
    if file is None:
        return
    path = Path(os.path.realpath(file))
    if path.is_dir():
        raise UsageError(option, f"{file} is a folder")
    if photos is not None and photos.includes(path):
        raise UsageError(option, f"{file} is one of the photos, which are never overwritten")
    if not path.parent.is_dir():
        raise UsageError(option, f"there is no folder {path.parent}")
    if why_not := why_not_writable(path.parent):
        raise UsageError(option, why_not)


def _check_plot(file: Path) -> None:
    from s3fd.evaluation.plots import check_plot_files

    try:
        check_plot_files(file)
    except (ImportError, ValueError) as error:
        raise UsageError("--plot", str(error)) from None
