"""Options of all ``s3fd evaluate`` commands, and the files that they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from s3fd.commands.options import RESULTS, UsageError, option
from s3fd.commands.outputs import File, Folder, Outputs, check_output_file

Predictions: TypeAlias = Annotated[
    Path | None,
    option(
        "PATH", help="Detections made elsewhere, or by `s3fd detect --json`; instead of --model."
    ),
]


@Parameter(name="*", group=RESULTS)
@dataclass(frozen=True, kw_only=True)
class EvaluationOutputs(Outputs):
    """The files that an evaluation writes besides the table it prints.

    Attributes:
        markdown: Write a table in Markdown.
        gallery: Write a page of the worst misses and false positives, HTML.
        name: What plots and tables call the detector.
    """

    markdown: File = None
    gallery: File = None
    name: Annotated[
        str | None,
        option("TEXT", show_default=lambda _: "of the model or the predictions"),
    ] = None

    def check(self) -> None:
        """Finds what would keep them from being written before any work is done."""
        super().check()
        check_output_file(self.markdown, "--markdown")
        check_output_file(self.gallery, "--gallery")

    def detector_name(self, source: str | Path) -> str:
        """What plots and tables call a detector: `name`, or that of where it is from.

        Plots and tables go to others, who need no folders of this machine.
        """
        path = Path(source)
        return self.name or (path.resolve().name if path.is_dir() else path.stem)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the detections of a benchmark come from.

    Attributes:
        model: Look for the faces with bundled weights, or a file of weights.
        photos: The benchmark's photos: for --model and --gallery.
    """

    predictions: Predictions = None
    model: Annotated[str | None, option("NAME|FILE")] = None
    photos: Folder = None

    @property
    def place(self) -> str | Path:
        """The one of the two that is given."""
        return self.predictions or self.model or ""

    def check(self, gallery: Path | None) -> None:
        """Refuses both of ``--predictions`` and ``--model``, and none; and missing photos."""
        if (self.predictions is None) == (self.model is None):
            raise UsageError("--predictions, --model", "give the one or the other")
        if self.photos is None and (self.model is not None or gallery is not None):
            raise UsageError("--photos", "--model and --gallery need the photos")
