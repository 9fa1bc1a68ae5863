"""Options of all ``s3fd evaluate`` commands, and the files that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from s3fd.commands.options import check_output_file

MinFace = Annotated[
    float,
    typer.Option(
        min=0,
        help="Don't look for faces smaller than this, in pixels. Those in the labels still count.",
    ),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Detections made elsewhere, or by `s3fd detect --json`; instead of --model.",
    ),
]
Photos = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="The benchmark's photos: for --model and --gallery."),
]
BenchmarkModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME|FILE",
        help="Look for the faces with bundled weights, or a file of weights.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="What plots and tables call the detector.",
        show_default="of the model or the predictions",
    ),
]
JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the figures as JSON; - for the standard output."
    ),
]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write a table in Markdown.")
]
PlotFile = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the curves: .png, .svg or .pdf."),
]
GalleryFile = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        metavar="FILE",
        help="Write a page of the worst misses and false positives, HTML.",
    ),
]


@dataclass(frozen=True)
class Outputs:
    """The files that a command writes besides the table it prints.

    Raises:
        typer.BadParameter: one can't be written. That is found before any work is done.
    """

    json_file: str | None
    markdown: Path | None
    plot: Path | None
    gallery: Path | None

    def __post_init__(self) -> None:
        if self.json_file not in (None, "-"):
            check_output_file(Path(self.json_file or ""), "--json")
        if self.markdown is not None:
            check_output_file(self.markdown, "--markdown")
        if self.gallery is not None:
            check_output_file(self.gallery, "--gallery")
        if self.plot is not None:
            _check_plot(self.plot)


def _check_plot(file: Path) -> None:
    from s3fd.evaluation.plots import check_plot_files

    try:
        check_plot_files(file)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--plot") from None


def require_one_source(predictions: Path | None, model: str | None) -> None:
    """Refuses both of ``--predictions`` and ``--model``, and none of them."""
    if (predictions is None) == (model is None):
        raise typer.BadParameter("give the one or the other", param_hint="--predictions, --model")
