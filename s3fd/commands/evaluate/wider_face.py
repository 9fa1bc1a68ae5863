"""``s3fd evaluate wider-face``: WIDER FACE's validation set, as the benchmark computes it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from s3fd.commands.evaluate.options import EvaluationOutputs, Source
from s3fd.commands.evaluate.report import (
    Report,
    decimal,
    number,
    warn_of_high_scores,
    warn_of_missing,
)
from s3fd.commands.evaluate.run import DetectorRun, as_predictions
from s3fd.commands.options import DetectorOptions, Flag, option
from s3fd.commands.outputs import Folder

if TYPE_CHECKING:
    from s3fd.evaluation import WiderFaceGroundTruth, WiderFaceResult
    from s3fd.evaluation.gallery import JudgedPhoto
    from s3fd.evaluation.plots import Curve
    from s3fd.evaluation.predictions import Prediction

_GALLERY_SCORE = 0.5  # the scores of others have any scale


def evaluate_wider_face(
    *,
    ground_truth: Annotated[Path, option("DIR")],
    source: Source = Source(),
    all_ious: Flag = False,
    published: Folder = None,
    options: DetectorOptions = DetectorOptions(),
    outputs: EvaluationOutputs = EvaluationOutputs(),
) -> None:
    """Average precision on WIDER FACE's validation set: easy, medium and hard.

    --predictions names a folder with one for each event, and in it a text file for each image: its
    name, the number of detections, and a line "x y width height score" for each. With --model,
    --photos names the folder WIDER_val/images.

    Args:
        ground_truth: The folder that holds wider_face_val.mat and wider_{easy,medium,hard}_val.mat.
        all_ious: Also at IoU 0.55, 0.6, .. 0.95, and their mean.
        published: Other detectors' curves for the plot and the table: wider_pr_info_*_val.mat.
    """
    from s3fd.evaluation import evaluate_wider_face as compare
    from s3fd.evaluation import read_wider_face

    source.check(options, outputs.gallery)
    outputs.check(ground_truth, source.predictions, source.model, source.photos, published)
    others = _published(published)
    truth = read_wider_face(ground_truth)
    start = time.perf_counter()
    found = _found(truth, source, options)
    result = compare(truth, found.detections)
    record = {
        "benchmark": "WIDER FACE, validation set",
        "ground_truth": {
            "folder": str(ground_truth),
            "version": truth.version,
            "sha256": dict(truth.checksums),
        },
        **found.settings,
        "images": len(truth.images),
        "missing": len(found.missing),
        "detections": sum(len(scores) for _, scores in found.detections),
        **_figures(result, all_ious),
        "seconds": round(time.perf_counter() - start, 2),
    }
    detector = outputs.detector_name(source.place)
    Report(
        title=f"{detector} on WIDER FACE, validation set",
        rows=_rows(detector, record, truth),
        record=record,
        panels=_panels(detector, result, others),
        photos=lambda: _judged_photos(result, found.detections, source.photos),
        caption=f"WIDER FACE, validation set, IoU 0.5; ground truth: {truth.describe()}",
        score_threshold=_GALLERY_SCORE,
    ).publish(outputs)


@dataclass(frozen=True)
class _Found:
    """Detections in all images, and where they are from."""

    detections: list[Prediction]
    settings: dict[str, Any]
    missing: list[str]


def _found(truth: WiderFaceGroundTruth, source: Source, options: DetectorOptions) -> _Found:
    if source.predictions is None:
        run = DetectorRun(source.model or "", options)
        photos = source.photos or Path()
        found = run.find([photos / f"{image}.jpg" for image in truth.images])
        return _Found(as_predictions(found), run.settings, [])
    from s3fd.evaluation import read_wider_face_predictions

    read = read_wider_face_predictions(source.predictions, truth)
    warn_of_missing(read.missing, len(truth.images))
    warn_of_high_scores(read.detections)
    return _Found(read.detections, {"predictions": str(source.predictions)}, read.missing)


def _published(folder: Path | None) -> list[tuple[str, Curve]]:
    """Setting and curve of other detectors."""
    if folder is None:
        return []
    from s3fd.evaluation.plots import Curve
    from s3fd.evaluation.wider_face.published import read_published_curves

    return [(curve.setting, Curve.from_published(curve)) for curve in read_published_curves(folder)]


def _figures(result: WiderFaceResult, all_ious: bool) -> dict[str, Any]:
    from s3fd.evaluation.wider_face import IOU_THRESHOLDS

    curves = {
        iou: result.curves(iou) for iou in (IOU_THRESHOLDS if all_ious else IOU_THRESHOLDS[:1])
    }
    precisions = {
        iou: {setting: number(curve.average_precision) for setting, curve in by_setting.items()}
        for iou, by_setting in curves.items()
    }
    at_half = curves[IOU_THRESHOLDS[0]]
    figures: dict[str, Any] = {
        "iou_threshold": IOU_THRESHOLDS[0],
        "faces": {setting: curve.faces for setting, curve in at_half.items()},
        "average_precision": precisions[IOU_THRESHOLDS[0]],
    }
    if all_ious:
        figures["average_precision_by_iou"] = {str(iou): value for iou, value in precisions.items()}
        figures["mean_average_precision"] = {
            setting: number(
                sum(c[setting].average_precision for c in curves.values()) / len(curves)
            )
            for setting in at_half
        }
    return figures


def _rows(detector: str, record: dict[str, Any], truth: WiderFaceGroundTruth) -> dict[str, str]:
    rows = {"detector": detector, "ground truth": truth.describe()}
    for setting, precision in record["average_precision"].items():
        rows[setting] = f"{_shown(precision)} at IoU {record['iou_threshold']}"
        if "mean_average_precision" in record:
            mean = record["mean_average_precision"][setting]
            rows[setting] += f", {_shown(mean)} over IoU 0.5 to 0.95"
        rows[setting] += f" ({record['faces'][setting]} faces)"
    rows["images"] = str(record["images"])
    rows["missing images"] = str(record["missing"])
    rows["detections"] = str(record["detections"])
    rows["seconds"] = str(record["seconds"])
    return rows


def _shown(value: float | None) -> str:
    return decimal(float("nan") if value is None else value)


def _panels(
    detector: str, result: WiderFaceResult, others: Sequence[tuple[str, Curve]]
) -> dict[str, list[Curve]]:
    from s3fd.evaluation.plots import Curve

    panels = {}
    for setting, curve in result.curves().items():
        own = Curve(detector, curve.recall, curve.precision, curve.average_precision, own=True)
        panels[setting.capitalize()] = [own, *(other for at, other in others if at == setting)]
    return panels


def _judged_photos(
    result: WiderFaceResult, found: Sequence[Prediction], photos: Path | None
) -> Iterator[JudgedPhoto]:
    """In the hard setting, where the most faces count."""
    from s3fd.evaluation.gallery import JudgedPhoto

    truth, setting = result.ground_truth, "hard"
    for index, matched in enumerate(result.matched(setting)):
        rows, (boxes, scores) = truth.faces(index), found[index]
        yield JudgedPhoto(
            (photos or Path()) / f"{truth.images[index]}.jpg",
            truth.boxes[rows].astype("float32"),
            boxes.astype("float32"),
            scores,
            matched=matched,
            counted=truth.counted[setting][rows],
            name=truth.images[index],
        )
