"""``s3fd evaluate annotations``: the photos of an ``annotations.json``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s3fd.commands.evaluate.options import (
    GalleryFile,
    JsonFile,
    MarkdownFile,
    MinFace,
    Name,
    Outputs,
    PlotFile,
)
from s3fd.commands.evaluate.report import Report, curve_figures, curve_rows
from s3fd.commands.evaluate.run import DetectorRun
from s3fd.commands.options import (
    BatchSize,
    Device,
    DropSingle,
    MaxPixels,
    MaxSize,
    Model,
    MultiScale,
)
from s3fd.defaults import BATCH_SIZE, MAX_PIXELS, MAX_SIZE

if TYPE_CHECKING:
    from s3fd.evaluation import Evaluation, LabelledPhoto
    from s3fd.evaluation.gallery import JudgedPhoto


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
    multi_scale: MultiScale = False,
    max_pixels: MaxPixels = MAX_PIXELS,
    drop_single: DropSingle = False,
    name: Name = None,
    json_file: JsonFile = None,
    markdown: MarkdownFile = None,
    plot: PlotFile = None,
    gallery: GalleryFile = None,
) -> None:
    """Average precision at IoU 0.5 on the photos of an annotations.json."""
    from s3fd.evaluation import annotated_photos
    from s3fd.evaluation.plots import Curve

    photos = annotated_photos(data, split)
    outputs = Outputs(json_file, markdown, plot, gallery)
    run = DetectorRun(
        model,
        device,
        max_size=max_size,
        min_face=min_face,
        batch_size=batch_size,
        multi_scale=multi_scale,
        max_pixels=max_pixels,
        drop_single=drop_single,
    )
    result = run.evaluate(photos)
    counts = {"photos": result.photos, "faces": result.curve.faces}
    report = Report(
        title=f"{name or model} on {data}, split {split}",
        rows={
            "data": f"{data}, split {split}",
            "model": model,
            **curve_rows(result.curve, result.iou_threshold),
            **{name: str(count) for name, count in counts.items()},
            "ignore boxes": str(result.ignore_boxes),
            "seconds": f"{result.seconds:.2f}",
        },
        record={
            "data": str(data),
            "split": split,
            **run.settings,
            **counts,
            "ignore_boxes": result.ignore_boxes,
            "iou_threshold": result.iou_threshold,
            **curve_figures(result.curve),
            "seconds": round(result.seconds, 2),
        },
        panels={"Average precision": [Curve.from_precision_recall(name or model, result.curve)]},
        photos=lambda: judged_photos(photos, result),
        caption=f"IoU {result.iou_threshold}, {data}, split {split}",
    )
    report.publish(outputs)


def judged_photos(photos: Sequence[LabelledPhoto], result: Evaluation) -> Iterator[JudgedPhoto]:
    """What the gallery shows of labelled photos."""
    from s3fd.evaluation.gallery import JudgedPhoto

    for photo, detections in zip(photos, result.detections, strict=True):
        boxes, scores = detections.numpy()
        yield JudgedPhoto(photo.path, photo.boxes, boxes, scores, ignore=photo.ignore)
