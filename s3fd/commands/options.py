"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s3fd.commands.files import why_not_writable

if TYPE_CHECKING:
    from s3fd.detector import FaceDetector

Model = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Bundled weights, or a file of weights.")
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="cpu, cuda, cuda:1, mps.", show_default="cuda if there is a GPU"
    ),
]
MaxSize = Annotated[
    int, typer.Option(min=0, help="Shrink photos whose longest side is larger; 0: never.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Photos that go through the network together.")]


def load_detector(model: str, device: str | None) -> FaceDetector:
    """The detector that ``--model`` and ``--device`` mean; a mistake there is a usage error."""
    from s3fd.detector import FaceDetector
    from s3fd.devices import resolve_device

    try:
        resolved = resolve_device(device)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from None
    try:
        return FaceDetector.from_pretrained(model, resolved)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--model") from None


def check_json_file(json_file: str | None, photos: Iterable[Path] = ()) -> None:
    """Finds what would keep ``--json`` from being written before any work is done.

    Args:
        json_file: a path, ``-`` for the standard output, or None.
        photos: files that it must not replace.
    """
    if json_file is None or json_file == "-":
        return
    if any(os.path.realpath(photo) == os.path.realpath(json_file) for photo in photos):
        raise typer.BadParameter(
            f"{json_file} is one of the photos, which are never overwritten", param_hint="--json"
        )
    check_output_file(Path(json_file), "--json")


def check_output_file(file: Path, option: str) -> None:
    """Finds what would keep a file from being written before any work is done."""
    path = Path(os.path.realpath(file))
    if path.is_dir():
        raise typer.BadParameter(f"{file} is a folder", param_hint=option)
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint=option)
    if why_not := why_not_writable(path.parent):
        raise typer.BadParameter(why_not, param_hint=option)
