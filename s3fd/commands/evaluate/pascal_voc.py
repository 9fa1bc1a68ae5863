"""``s3fd evaluate pascal-voc``: AFW and PASCAL faces, by VOC's rules."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s3fd.commands.evaluate.options import (
    BenchmarkModel,
    GalleryFile,
    JsonFile,
    MarkdownFile,
    MinFace,
    Name,
    Outputs,
    Photos,
    PlotFile,
    Predictions,
    require_one_source,
)
from s3fd.commands.evaluate.report import (
    Report,
    curve_figures,
    curve_rows,
    detector_name,
    warn_of_missing,
)
from s3fd.commands.evaluate.run import DetectorRun, as_predictions
from s3fd.commands.options import BatchSize, Device, DropSingle, MaxPixels, MaxSize, MultiScale
from s3fd.defaults import BATCH_SIZE, MAX_PIXELS, MAX_SIZE

if TYPE_CHECKING:
    from s3fd.evaluation import PascalVocImage, PascalVocResult
    from s3fd.evaluation.gallery import JudgedPhoto
    from s3fd.evaluation.predictions import Prediction

_SUFFIXES = (".jpg", ".jpeg", ".png")


def evaluate_pascal_voc(
    ground_truth: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A folder of VOC's XML files, or a text file of lines 'image x1 y1 x2 y2', with a "
            "1 after it for a face to ignore.",
        ),
    ],
    predictions: Predictions = None,
    model: BenchmarkModel = None,
    photos: Photos = None,
    label: Annotated[
        str, typer.Option(metavar="TEXT", help="The name of faces in XML files.")
    ] = "face",
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
    """Average precision at IoU 0.5 by PASCAL VOC's rules, for AFW and PASCAL faces.

    --predictions names a file of lines "image score x1 y1 x2 y2".
    """
    from s3fd.evaluation import evaluate_pascal_voc as compare
    from s3fd.evaluation import read_pascal_voc, read_pascal_voc_predictions

    require_one_source(predictions, model)
    if photos is None and (model is not None or gallery is not None):
        raise typer.BadParameter("--model and --gallery need the photos", param_hint="--photos")
    outputs = Outputs(json_file, markdown, plot, gallery)
    images = read_pascal_voc(ground_truth, label)
    files = _photo_files(images, photos)
    settings: dict[str, Any] = {"predictions": str(predictions)}
    start = time.perf_counter()
    missing: list[str] = []
    if model is not None:
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
        found, settings = as_predictions(run.find(files)), run.settings
    else:
        names = [image.name for image in images]
        found, missing = read_pascal_voc_predictions(predictions or Path(), names)
    warn_of_missing(missing, len(images))
    result = compare(images, found)
    seconds = round(time.perf_counter() - start, 2)
    counts = {
        "images": len(images),
        "missing": len(missing),
        "faces": result.curve.faces,
        "ignored": sum(int((~image.counted).sum()) for image in images),
        "detections": sum(len(scores) for _, scores in found),
    }
    detector = detector_name(name, predictions or model or "")
    _report(
        detector, ground_truth, result, counts, settings, seconds, images, found, files
    ).publish(outputs)


def _report(
    detector: str,
    ground_truth: Path,
    result: PascalVocResult,
    counts: dict[str, int],
    settings: dict[str, Any],
    seconds: float,
    images: Sequence[PascalVocImage],
    found: Sequence[Prediction],
    files: Sequence[Path],
) -> Report:
    from s3fd.evaluation.plots import Curve

    return Report(
        title=f"{detector} on {ground_truth.resolve().name}",
        rows={
            "detector": detector,
            "ground truth": str(ground_truth),
            **curve_rows(result.curve, result.iou_threshold),
            **{name: str(count) for name, count in counts.items()},
            "seconds": str(seconds),
        },
        record={
            "benchmark": "PASCAL VOC's rules",
            "ground_truth": str(ground_truth),
            **settings,
            **counts,
            "iou_threshold": result.iou_threshold,
            **curve_figures(result.curve),
            "seconds": seconds,
        },
        panels={"Average precision": [Curve.from_precision_recall(detector, result.curve)]},
        photos=lambda: _judged_photos(images, result, found, files),
        caption=f"PASCAL VOC's average precision at IoU {result.iou_threshold}, "
        f"{ground_truth.resolve().name}",
    )


def _photo_files(images: Sequence[PascalVocImage], photos: Path | None) -> list[Path]:
    """The photo of each image; one that does not exist where there is none."""
    if photos is None:
        return [Path(image.name) for image in images]
    if not photos.is_dir():
        raise FileNotFoundError(f"photos: there is no folder {photos}")
    known = {p.stem: p for p in sorted(photos.iterdir()) if p.suffix.lower() in _SUFFIXES}
    return [known.get(image.name, photos / f"{image.name}.jpg") for image in images]


def _judged_photos(
    images: Sequence[PascalVocImage],
    result: PascalVocResult,
    found: Sequence[Prediction],
    files: Sequence[Path],
) -> Iterator[JudgedPhoto]:
    from s3fd.evaluation.gallery import JudgedPhoto

    for image, matched, (boxes, scores), file in zip(
        images, result.matched, found, files, strict=True
    ):
        yield JudgedPhoto(
            file,
            image.boxes.astype("float32"),
            boxes.astype("float32"),
            scores,
            matched=matched,
            counted=image.counted,
            name=image.name,
        )
