"""``s3fd evaluate``: how good a detector is, on labelled photos and on the benchmarks."""

from __future__ import annotations

from cyclopts import App

from s3fd.commands.evaluate.annotations import evaluate_annotations
from s3fd.commands.evaluate.fddb import evaluate_fddb
from s3fd.commands.evaluate.pascal_voc import evaluate_pascal_voc
from s3fd.commands.evaluate.wider_face import evaluate_wider_face
from s3fd.commands.options import OPTIONS

evaluate = App(
    name="evaluate",
    help="Measure how good a detector is, on labelled photos and on the benchmarks.",
    group_parameters=OPTIONS,
    sort_key=2,
)
evaluate.command(evaluate_wider_face, name="wider-face", sort_key=0)
evaluate.command(evaluate_fddb, name="fddb", sort_key=1)
evaluate.command(evaluate_pascal_voc, name="pascal-voc", sort_key=2)
evaluate.command(evaluate_annotations, name="annotations", sort_key=3)
