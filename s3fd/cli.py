"""The command line, ``s3fd``. Each command has its own module in `s3fd.commands`.

These modules import torch inside their commands alone, so that ``s3fd --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from s3fd import __version__
from s3fd.commands.analyze import analyze
from s3fd.commands.detect import detect
from s3fd.commands.evaluate import evaluate
from s3fd.commands.info import info
from s3fd.commands.train import train

app = typer.Typer(
    name="s3fd",
    help="Find faces with S3FD, the single shot scale-invariant face detector.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(detect)
app.command()(train)
app.add_typer(evaluate)
app.add_typer(analyze)
app.command()(info)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"s3fd {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line: an error is one message, and exit code 1 (2: a wrong argument).

    With the environment variable ``S3FD_TRACEBACK=1``, an error shows where it comes from.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # any bytes can be the name of a photo
    try:
        app(prog_name="s3fd")
    except Exception as error:
        if os.environ.get("S3FD_TRACEBACK"):
            raise
        typer.echo(f"error: {error or type(error).__name__}", err=True)
        sys.exit(1)
