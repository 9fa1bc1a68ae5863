"""``s3fd evaluate``: how good a detector is on labelled photos; a table, and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

import s3fd
from s3fd.commands.files import whole_file
from s3fd.commands.options import (
    BatchSize,
    Device,
    MaxSize,
    Model,
    check_json_file,
    load_detector,
)
from s3fd.defaults import BATCH_SIZE, MAX_SIZE, SCORE_THRESHOLD

if TYPE_CHECKING:
    from s3fd.evaluation import Evaluation, LabelledPhoto

evaluate = typer.Typer(
    name="evaluate",
    help="Measure how good a detector is on labelled photos.",
    no_args_is_help=True,
)

MinFace = Annotated[
    float,
    typer.Option(
        min=0,
        help="Don't look for faces smaller than this, in pixels. Those in the labels still count.",
    ),
]
JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE", help="Write the figures as JSON; - for the standard output."
    ),
]


@evaluate.command("annotations")
def evaluate_annotations(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that holds annotations.json.")
    ],
    split: Annotated[str, typer.Option(metavar="NAME", help="Which of its photos.")] = "val",
    model: Model = "light",
    device: Device = None,
    max_size: MaxSize = MAX_SIZE,
    min_face: MinFace = 0,
    batch_size: BatchSize = BATCH_SIZE,
    json_file: JsonFile = None,
) -> None:
    """Average precision at IoU 0.5 on the photos of an annotations.json."""
    from s3fd.evaluation import annotated_photos

    photos = annotated_photos(data, split)
    check_json_file(json_file)
    run = _Run(model, device, max_size, min_face, batch_size)
    record = {"data": str(data), "split": split, **run.evaluate(photos)}
    _report(f"{data}, split {split}", record, json_file)


@evaluate.command("fddb")
def evaluate_fddb(
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="The folder that holds folds/ and images/.")
    ],
    fold: Annotated[
        list[int] | None,
        typer.Option(
            metavar="NUMBER",
            help="One of the ten folds; repeat it for more.",
            show_default="all that are there",
        ),
    ] = None,
    model: Model = "light",
    device: Device = None,
    max_size: MaxSize = MAX_SIZE,
    min_face: MinFace = 0,
    batch_size: BatchSize = BATCH_SIZE,
    json_file: JsonFile = None,
) -> None:
    """Average precision at IoU 0.5 on FDDB, with the boxes around its ellipses.

    Photos whose file is missing are left out and counted.
    """
    from s3fd.evaluation import read_fddb

    listed = read_fddb(data, fold or None)
    photos = [photo.labelled() for photo in listed if photo.path.is_file()]
    if not photos:
        raise FileNotFoundError(
            f"data: not one of the {len(listed)} photos is there, such as {listed[0].path}"
            if listed
            else f"data: the lists in {data / 'folds'} name no photo"
        )
    check_json_file(json_file)
    run = _Run(model, device, max_size, min_face, batch_size)
    folds = sorted({photo.fold for photo in listed})
    missing = {"folds": folds, "missing": len(listed) - len(photos)}
    record = {"data": str(data), **missing, **run.evaluate(photos)}
    _report(f"{data}, FDDB folds {', '.join(map(str, folds))}", record, json_file)


class _Run:
    """A detector and its settings."""

    def __init__(
        self, model: str, device: str | None, max_size: int, min_face: float, batch_size: int
    ) -> None:
        from s3fd.evaluation.photos import LOWEST_SCORE

        self.options: dict[str, Any] = {
            "score_threshold": LOWEST_SCORE,
            "max_size": max_size or None,
            "min_face": min_face or None,
            "batch_size": batch_size,
        }
        self.model = model
        self.detector = load_detector(model, device)

    def evaluate(self, photos: Sequence[LabelledPhoto]) -> dict[str, Any]:
        """What was measured, and how."""
        from s3fd.evaluation import evaluate_detector

        progress = Progress(
            TextColumn("{task.completed} of {task.total} photos"),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        with progress:
            task = progress.add_task("", total=len(photos))
            result = evaluate_detector(
                lambda pictures: self.detector(pictures, **self.options),
                photos,
                advance=lambda done: progress.advance(task, done),
            )
        settings = {"model": self.model, "device": str(self.detector.device), **self.options}
        return {**settings, "s3fd": s3fd.__version__, **_figures(result)}


def _figures(result: Evaluation) -> dict[str, Any]:
    point = result.curve.at(SCORE_THRESHOLD)
    return {
        "photos": result.photos,
        "faces": result.curve.faces,
        "ignore_boxes": result.ignore_boxes,
        "iou_threshold": result.iou_threshold,
        "average_precision": _number(result.curve.average_precision),
        "at_default_threshold": {
            "score_threshold": SCORE_THRESHOLD,
            "recall": _number(point.recall),
            "precision": _number(point.precision),
            "false_positives": point.false_positives,
        },
        "seconds": round(result.seconds, 2),
    }


def _number(value: float) -> float | None:
    """None for NaN, which JSON does not know."""
    return None if math.isnan(value) else value


def _report(data: str, record: dict[str, Any], json_file: str | None) -> None:
    """Prints the table, or writes JSON, or both."""
    text = json.dumps(record, indent=2)
    if json_file == "-":
        typer.echo(text)
        return
    Console(highlight=False).print(_table(data, record))
    if json_file is not None:
        with whole_file(Path(json_file)) as file:
            file.write(text.encode() + b"\n")


def _table(data: str, record: dict[str, Any]) -> Table:
    point = record["at_default_threshold"]
    threshold = point["score_threshold"]
    rows = {
        "data": data,
        "model": record["model"],
        "average precision": f"{_decimal(record['average_precision'])}"
        f" at IoU {record['iou_threshold']}",
        "recall": f"{_decimal(point['recall'])} at score {threshold}",
        "precision": f"{_decimal(point['precision'])} at score {threshold}"
        f" ({point['false_positives']} false positives)",
        "photos": str(record["photos"]),
        "missing photos": str(record.get("missing", 0)),
        "faces": str(record["faces"]),
        "ignore boxes": str(record["ignore_boxes"]),
        "seconds": str(record["seconds"]),
    }
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _decimal(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
