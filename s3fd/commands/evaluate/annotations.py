"""``s3fd evaluate annotations``: photos with labels of any form."""

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
from s3fd.commands.evaluate.report import Report, curve_figures, curve_rows, detector_name
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
    from s3fd.data import AnnotatedImage
    from s3fd.evaluation import Evaluation
    from s3fd.evaluation.gallery import JudgedPhoto


def evaluate_annotations(
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="Photos and labels: annotations.json, COCO, WIDER FACE, PASCAL VOC, AFW, PASCAL "
            "faces or FDDB; a folder, or the file of the labels.",
        ),
    ],
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Which of its photos, if the labels know splits.")
    ] = "val",
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
    """Average precision at IoU 0.5 on photos with labels of any form."""
    from s3fd.data import read_photos
    from s3fd.evaluation.plots import Curve

    photo_set = read_photos(data, split)
    photos = photo_set.photos
    which = f"split {split}"
    if photo_set.split is None:
        which = "all photos, since the labels have no splits"
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
    detector = detector_name(name, model)
    counts = {"photos": result.photos, "faces": result.curve.faces}
    report = Report(
        title=f"{detector} on {photo_set.describe()}",
        rows={
            "data": f"{data} ({photo_set.form}), {which}",
            "model": model,
            **curve_rows(result.curve, result.iou_threshold),
            **{name: str(count) for name, count in counts.items()},
            "ignore boxes": str(result.ignore_boxes),
            "seconds": f"{result.seconds:.2f}",
        },
        record={
            "data": str(data),
            "form": photo_set.form,
            "split": photo_set.split,
            **run.settings,
            **counts,
            "ignore_boxes": result.ignore_boxes,
            "iou_threshold": result.iou_threshold,
            **curve_figures(result.curve),
            "seconds": round(result.seconds, 2),
        },
        panels={"Average precision": [Curve.from_precision_recall(detector, result.curve)]},
        photos=lambda: judged_photos(photos, result),
        caption=f"IoU {result.iou_threshold}, {photo_set.describe()}",
    )
    report.publish(outputs)


def judged_photos(photos: Sequence[AnnotatedImage], result: Evaluation) -> Iterator[JudgedPhoto]:
    """What the gallery shows of labelled photos."""
    from s3fd.evaluation.gallery import JudgedPhoto

    for photo, detections in zip(photos, result.detections, strict=True):
        boxes, scores = detections.numpy()
        yield JudgedPhoto(photo.path, photo.boxes, boxes, scores, ignore=photo.ignore)
