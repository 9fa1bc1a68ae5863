"""``s3fd evaluate annotations``: photos with labels of any form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from s3fd.commands.evaluate.options import EvaluationOutputs
from s3fd.commands.evaluate.report import Report, curve_figures, curve_rows
from s3fd.commands.evaluate.run import DetectorRun
from s3fd.commands.options import DetectorOptions, Model, option

if TYPE_CHECKING:
    from s3fd.data import AnnotatedImage
    from s3fd.evaluation import Evaluation
    from s3fd.evaluation.gallery import JudgedPhoto


def evaluate_annotations(
    *,
    data: Annotated[Path, option("PATH")],
    split: Annotated[str, option("NAME")] = "val",
    classes: Annotated[tuple[str, ...] | None, option("NAME")] = None,
    model: Model = "light",
    options: DetectorOptions = DetectorOptions(),
    outputs: EvaluationOutputs = EvaluationOutputs(),
) -> None:
    """Average precision at IoU 0.5 on photos with labels of any form.

    Args:
        data: Photos and labels: annotations.json, COCO, WIDER FACE, PASCAL VOC, YOLO, LabelMe,
            CVAT, AFW, PASCAL faces or FDDB; a folder, or the file of the labels.
        split: Which of its photos, if the labels know splits.
        classes: Which classes of the labels are faces, each after its --classes; by default "face".
    """
    from s3fd.data import read_photos
    from s3fd.evaluation.plots import Curve

    outputs.check(data, model)
    photo_set = read_photos(data, split, classes=classes or ())
    photos = photo_set.photos
    outputs.check_photos(photo.path for photo in photos)
    which = f"split {split}"
    if photo_set.split is None:
        which = "all photos, since the labels have no splits"
    run = DetectorRun(model, options)
    result = run.evaluate(photos)
    detector = outputs.detector_name(model)
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
