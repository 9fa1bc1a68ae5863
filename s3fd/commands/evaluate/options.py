"""Options of all ``s3fd evaluate`` commands, and the files that they ask for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, TypeAlias

from cyclopts import Parameter

from s3fd.commands.options import RESULTS, DetectorOptions, UsageError, option
from s3fd.commands.outputs import File, Folder, Outputs

Predictions: TypeAlias = Annotated[
    Path | None,
    option(
        "PATH", help="Detections made elsewhere, or by `s3fd detect --json`; instead of --model."
    ),
]

_EITHER = "--predictions, --model"


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

    def _files(self) -> dict[str, Path | None]:
        return {**super()._files(), "--markdown": self.markdown, "--gallery": self.gallery}

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

    def check(self, options: DetectorOptions, gallery: Path | None) -> None:
        """Refuses none of ``--predictions`` and ``--model``, and what does not belong to the one.

        Args:
            options: those of the detector.
            gallery: that is to be written, if any.
        """
        if self.predictions is None and self.model is None:
            raise UsageError(_EITHER, "give the one or the other")
        check_predictions(self.predictions, self.model, options)
        needs_photos = self.model is not None or gallery is not None
        if needs_photos and self.photos is None:
            raise UsageError("--photos", "--model and --gallery need the photos")
        if self.photos is not None and not needs_photos:
            raise UsageError("--photos", "has an effect with --model and --gallery alone")


def check_predictions(
    predictions: Path | None, model: str | None, options: DetectorOptions
) -> None:
    """Refuses what says how to find faces, where they have been found already."""
    if predictions is None:
        return
    if model is not None:
        raise UsageError(_EITHER, "give the one or the other")
    for field in fields(options):
        if getattr(options, field.name) != field.default:
            name = f"--{field.name.replace('_', '-')}"
            raise UsageError(name, "has no effect with --predictions, which are found already")
