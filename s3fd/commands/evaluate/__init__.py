"""``s3fd evaluate``: how good a detector is, on labelled photos and on the benchmarks."""

from __future__ import annotations

import typer

from s3fd.commands.evaluate.annotations import evaluate_annotations
from s3fd.commands.evaluate.fddb import evaluate_fddb
from s3fd.commands.evaluate.pascal_voc import evaluate_pascal_voc
from s3fd.commands.evaluate.wider_face import evaluate_wider_face

evaluate = typer.Typer(
    name="evaluate",
    help="Measure how good a detector is, on labelled photos and on the benchmarks.",
    no_args_is_help=True,
)
evaluate.command("wider-face")(evaluate_wider_face)
evaluate.command("fddb")(evaluate_fddb)
evaluate.command("pascal-voc")(evaluate_pascal_voc)
evaluate.command("annotations")(evaluate_annotations)
