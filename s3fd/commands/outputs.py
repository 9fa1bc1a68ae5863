"""What commands print and write, and the options that ask for it."""

# Annotations are not left as text here: cyclopts would look up those of `Outputs` in the modules of
# the classes that extend it.

import json
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

from s3fd.commands.options import RESULTS, option
from s3fd.commands.output_files import (
    check_files_differ,
    check_no_photo,
    check_output_file,
    check_plot,
    json_path,
)
from s3fd.files import whole_file
from s3fd.messages import one_line


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

    def check(self, *inputs: str | Path | None) -> None:
        """Finds what would keep them from being written before any work is done.

        Args:
            inputs: files that the command reads, and folders with labels or photos; None for none.
        """
        files = self._files()
        for name, file in files.items():
            check_output_file(file, name, inputs)
        if self.plot is not None:
            check_plot(self.plot)
        check_files_differ(files)

    def check_photos(self, photos: Iterable[Path]) -> None:
        """Refuses to replace a photo; to be called as soon as the labels have named them."""
        check_no_photo(self._files(), photos)

    def _files(self) -> dict[str, Path | None]:
        """Those that are asked for, by option."""
        return {"--json": json_path(self.json_file), "--plot": self.plot}

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
