"""``s3fd evaluate pascal-voc``: AFW and PASCAL faces, by VOC's rules."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from s3fd.commands.evaluate.options import EvaluationOutputs, Source
from s3fd.commands.evaluate.report import (
    Report,
    curve_figures,
    curve_rows,
    warn_of_high_scores,
    warn_of_missing,
)
from s3fd.commands.evaluate.run import DetectorRun, as_predictions
from s3fd.commands.options import DetectorOptions, option
from s3fd.file_kinds import PHOTO_SUFFIXES

if TYPE_CHECKING:
    from s3fd.evaluation import PascalVocImage, PascalVocResult
    from s3fd.evaluation.gallery import JudgedPhoto
    from s3fd.evaluation.predictions import Prediction


def evaluate_pascal_voc(
    *,
    ground_truth: Annotated[Path, option("PATH")],
    source: Source = Source(),
    label: Annotated[str | None, option("TEXT", show_default=lambda _: "face")] = None,
    options: DetectorOptions = DetectorOptions(),
    outputs: EvaluationOutputs = EvaluationOutputs(),
) -> None:
    """Average precision at IoU 0.5 by PASCAL VOC's rules, for AFW and PASCAL faces.

    --predictions names a file of lines "image score x1 y1 x2 y2", in VOC's pixels, from 1 on.

    Args:
        ground_truth: A folder of VOC's XML files, or a text file of lines "image x1 y1 x2 y2", with
            a 1 after it for a face to ignore.
        label: The name of faces in XML files.
    """
    from s3fd.evaluation import evaluate_pascal_voc as compare
    from s3fd.evaluation import in_voc_pixels, read_pascal_voc, read_pascal_voc_predictions

    source.check(options, outputs.gallery)
    outputs.check(ground_truth, source.predictions, source.model, source.photos)
    images = read_pascal_voc(ground_truth, label)
    files = _photo_files(images, source.photos)
    outputs.check_photos(files)
    settings: dict[str, Any] = {"predictions": str(source.predictions)}
    start = time.perf_counter()
    missing: list[str] = []
    if source.model is not None:
        run = DetectorRun(source.model, options)
        found, settings = in_voc_pixels(as_predictions(run.find(files))), run.settings
    else:
        names = [image.name for image in images]
        found, missing = read_pascal_voc_predictions(source.predictions or Path(), names)
        warn_of_missing(missing, len(images))
        warn_of_high_scores(found)
    result = compare(images, found)
    seconds = round(time.perf_counter() - start, 2)
    counts = {
        "images": len(images),
        "missing": len(missing),
        "faces": result.curve.faces,
        "ignored": sum(int((~image.counted).sum()) for image in images),
        "detections": sum(len(scores) for _, scores in found),
    }
    detector = outputs.detector_name(source.place)
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
    known: dict[str, list[Path]] = {}
    for file in sorted(photos.iterdir()):
        if file.suffix.lower() in PHOTO_SUFFIXES:
            known.setdefault(file.stem, []).append(file)
    return [_only(known.get(image.name, [photos / f"{image.name}.jpg"])) for image in images]


def _only(photos: Sequence[Path]) -> Path:
    """The photo of an image."""
    first, *others = photos
    if others:
        raise ValueError(
            f"photos: {first} and {others[0].name} are of the image {first.stem}; move one of them "
            "elsewhere"
        )
    return first


def _judged_photos(
    images: Sequence[PascalVocImage],
    result: PascalVocResult,
    found: Sequence[Prediction],
    files: Sequence[Path],
) -> Iterator[JudgedPhoto]:
    from s3fd.data.formats.pascal_voc import PIXELS_OF_VOC
    from s3fd.evaluation.gallery import JudgedPhoto

    for image, matched, (boxes, scores), file in zip(
        images, result.matched, found, files, strict=True
    ):
        yield JudgedPhoto(
            file,
            (image.boxes - PIXELS_OF_VOC).astype("float32"),
            (boxes - PIXELS_OF_VOC).astype("float32"),
            scores,
            matched=matched,
            counted=image.counted,
            name=image.name,
        )
