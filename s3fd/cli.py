"""The command line, ``s3fd``. Each command has its own module in `s3fd.commands`.

These modules import torch inside their commands alone, so that ``s3fd --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError

from s3fd import __version__
from s3fd.commands.analyze import analyze
from s3fd.commands.convert import convert
from s3fd.commands.demo import demo
from s3fd.commands.detect import detect
from s3fd.commands.evaluate import evaluate
from s3fd.commands.export import export
from s3fd.commands.info import info
from s3fd.commands.options import OPTIONS, UsageError
from s3fd.commands.outputs import say
from s3fd.commands.train import train

app = App(
    name="s3fd",
    help="Find faces with S3FD, the single shot scale-invariant face detector.",
    help_flags=["--help", "-h"],
    help_format="markdown",
    version=f"s3fd {__version__}",
    version_flags=["--version"],
    group_parameters=OPTIONS,
    # Flags have no --no-… of their own, and lists no --empty-….
    default_parameter=Parameter(negative_bool="", negative_iterable="", negative_none=""),
    suppress_keyboard_interrupt=False,
)
app.command(detect, sort_key=0)
app.command(train, sort_key=1)
app.command(evaluate)
app.command(analyze)
app.command(demo, sort_key=4)
app.command(convert, sort_key=4)
app.command(export, sort_key=4)
app.command(info, sort_key=5)
app.register_install_completion_command()


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line: an error is one message, and exit code 1 (2: a wrong argument).

    With the environment variable ``S3FD_TRACEBACK=1``, an error shows where it comes from.

    Args:
        arguments: what was typed; None for those of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # any bytes can be the name of a photo
    try:
        with _plain_warnings():
            code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # what can't be written is an error, too
    except BrokenPipeError:
        # Nobody reads on; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if os.environ.get("S3FD_TRACEBACK"):
            raise
        say("error", str(error) or type(error).__name__)
        code = 1
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, UsageError) as error:
        command, *_ = app.parse_commands(arguments)
        say("error", _what_was_typed_wrong(error))
        say("more in", f"{' '.join(['s3fd', *command])} --help")
        return 2
    return code if isinstance(code, int) else 0


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Shows warnings of this package as messages, without the line of code that gave them."""
    show_others, package = warnings.showwarning, str(Path(__file__).parent)

    def show(
        message: Warning | str, category: Any, filename: str, *where: Any, **more: Any
    ) -> None:
        if Path(filename).is_relative_to(package):
            say("warning", str(message))
        else:
            show_others(message, category, filename, *where, **more)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


def _what_was_typed_wrong(error: CycloptsError | UsageError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"more arguments than this takes: {' '.join(error.unused_tokens)}"
    return str(error)
