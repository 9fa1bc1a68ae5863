"""``s3fd evaluate fddb``: the Face Detection Data Set and Benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from s3fd.commands.evaluate.options import EvaluationOutputs, Predictions, check_predictions
from s3fd.commands.evaluate.report import (
    Report,
    curve_figures,
    curve_rows,
    number,
    warn_of_high_scores,
    warn_of_missing,
)
from s3fd.commands.evaluate.run import DetectorRun, as_predictions
from s3fd.commands.options import DETECTOR, DetectorOptions, Flag, UsageError, option
from s3fd.commands.outputs import File, say

if TYPE_CHECKING:
    from s3fd.evaluation import FddbPhoto, FddbResult, PrecisionRecall, RocCurve
    from s3fd.evaluation.gallery import JudgedPhoto
    from s3fd.evaluation.plots import Curve
    from s3fd.evaluation.predictions import Prediction

_FALSE_POSITIVES = (100, 500, 1000, 2000)


@dataclass(frozen=True)
class _Found:
    """Detections in photos, and where they are from."""

    photos: list[FddbPhoto]
    detections: list[Prediction]
    sizes: list[tuple[int, int] | None]
    settings: dict[str, Any]
    missing: int  # photos that are left out, or have no predictions
    seconds: float

    @property
    def are_boxes(self) -> bool:
        return all(regions.shape[1] == 4 for regions, _ in self.detections)


def evaluate_fddb(
    *,
    data: Annotated[Path, option("DIR")],
    fold: Annotated[
        list[int] | None, option("NUMBER", show_default=lambda _: "all that are there")
    ] = None,
    annotations: File = None,
    predictions: Predictions = None,
    regress_ellipses: Flag = False,
    model: Annotated[
        str | None,
        option("NAME|FILE", group=DETECTOR, show_default=lambda _: "light"),
    ] = None,
    options: DetectorOptions = DetectorOptions(),
    outputs: EvaluationOutputs = EvaluationOutputs(),
) -> None:
    """FDDB's discrete and continuous ROC, and average precision with boxes around its ellipses.

    Photos whose file is missing are left out and counted; with --predictions they need not be
    there, but regions are cut at a photo's border where its size is known.

    Args:
        data: The folder that holds folds/ and images/.
        fold: One of the ten folds; repeat it for more.
        annotations: All photos' ellipses, instead of those of the folds.
        model: Bundled weights, or a file of weights.
        regress_ellipses: Turn boxes into ellipses, as the other folds teach, before the ROC curves.
    """
    from s3fd.evaluation import evaluate_fddb as compare
    from s3fd.evaluation import read_fddb

    check_predictions(predictions, model, options)
    model = model or "light"
    outputs.check(data, annotations, predictions, model)
    listed = read_fddb(data, fold or None, annotations)
    outputs.check_photos(photo.path for photo in listed)
    if not listed:
        raise FileNotFoundError(f"data: the lists in {data / 'folds'} name no photo")
    if predictions is not None:
        found = _read(listed, predictions)
    else:
        present = [photo for photo in listed if photo.path.is_file()]
        if not present:
            raise FileNotFoundError(
                f"data: not one of the {len(listed)} photos is there, such as {listed[0].path}"
            )
        run = DetectorRun(model, options)
        found = _detect(present, run, len(listed))
    regions = _regressed(found) if regress_ellipses else found.detections
    result = compare(found.photos, regions, sizes=found.sizes)
    detector = outputs.detector_name(predictions or model)
    _report(detector, data, found, result, regress_ellipses).publish(outputs)


def _read(photos: list[FddbPhoto], predictions: Path) -> _Found:
    from s3fd.evaluation import read_fddb_predictions

    start = time.perf_counter()
    detections, missing = read_fddb_predictions(predictions, [photo.name for photo in photos])
    warn_of_missing(missing, len(photos))
    warn_of_high_scores(detections)
    sizes = [_size(photo.path) for photo in photos]
    if unknown := sizes.count(None):
        say(
            "warning",
            f"{unknown} of {len(photos)} photos are not there, so that regions are not cut at "
            "their borders as FDDB's tool cuts them",
        )
    settings = {"predictions": str(predictions)}
    seconds = time.perf_counter() - start
    return _Found(photos, detections, sizes, settings, len(missing), seconds)


def _detect(photos: list[FddbPhoto], run: DetectorRun, listed: int) -> _Found:
    found = run.find([photo.path for photo in photos])
    return _Found(
        photos,
        as_predictions(found),
        [detections.image_size for detections in found],
        run.settings,
        listed - len(photos),
        run.seconds,
    )


def _size(path: Path) -> tuple[int, int] | None:
    """Height and width of a photo, None where it is not there."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except FileNotFoundError:
        return None


def _regressed(found: _Found) -> list[Prediction]:
    from s3fd.evaluation import regress_ellipses

    try:
        return regress_ellipses(found.photos, found.detections)
    except ValueError as error:
        raise UsageError("--regress-ellipses", str(error)) from None


def _report(
    detector: str, data: Path, found: _Found, result: FddbResult, regressed: bool
) -> Report:
    boxes = _box_curve(found)
    folds = sorted({photo.fold for photo in found.photos} - {0})
    counts = {
        "photos": len(found.photos),
        "missing": found.missing,
        "faces": result.discrete.faces,
        "ignore_boxes": 0,
    }
    record = {
        "benchmark": "FDDB",
        "data": str(data),
        "folds": folds,
        **found.settings,
        **counts,
        "regressed_ellipses": regressed,
        "photos_of_known_size": result.clipped,
        **_roc_figures(result),
        **({} if boxes is None else {"iou_threshold": 0.5, **curve_figures(boxes)}),
        "seconds": round(found.seconds, 2),
    }
    rows = {
        "data": f"{data}, FDDB" + (f" folds {', '.join(map(str, folds))}" if folds else ""),
        "detector": detector,
        **{
            f"{curve.name} ROC": ", ".join(
                f"{curve.at(count):.4f} at {count}" for count in _FALSE_POSITIVES
            )
            for curve in (result.discrete, result.continuous)
        },
        **({} if boxes is None else curve_rows(boxes, 0.5)),
        "photos": str(counts["photos"]),
        "missing photos": str(counts["missing"]),
        "faces": str(counts["faces"]),
        "seconds": f"{found.seconds:.2f}",
    }
    return Report(
        title=f"{detector} on FDDB",
        rows=rows,
        record=record,
        panels=_panels(detector, result),
        photos=lambda: _judged_photos(found, result),
        is_roc=True,
        caption=f"FDDB's true positive rate at {_FALSE_POSITIVES[-1]} false positives",
    )


def _box_curve(found: _Found) -> PrecisionRecall | None:
    """Of the boxes around ellipses; None where detections are ellipses themselves."""
    from s3fd.evaluation import average_precision
    from s3fd.evaluation.fddb import ellipse_boxes

    if not found.are_boxes:
        return None
    boxes = [ellipse_boxes(photo.ellipses) for photo in found.photos]
    return average_precision(found.detections, boxes)


def _roc_figures(result: FddbResult) -> dict[str, Any]:
    return {
        "true_positive_rate": {
            "discrete": _rates(result.discrete),
            "continuous": _rates(result.continuous),
        },
        "true_positive_rate_by_fold": {
            str(fold): {"discrete": _rates(discrete), "continuous": _rates(continuous)}
            for fold, (discrete, continuous) in result.folds().items()
        },
    }


def _rates(curve: RocCurve) -> dict[str, float | None]:
    """By number of false positives."""
    return {str(count): number(curve.at(count)) for count in _FALSE_POSITIVES}


def _panels(detector: str, result: FddbResult) -> dict[str, list[Curve]]:
    from s3fd.evaluation.plots import Curve

    return {
        f"{curve.name.capitalize()} score": [
            Curve(
                detector,
                curve.false_positives,
                curve.true_positive_rate,
                curve.at(_FALSE_POSITIVES[-1]),
                own=True,
            )
        ]
        for curve in (result.discrete, result.continuous)
    }


def _judged_photos(found: _Found, result: FddbResult) -> Iterator[JudgedPhoto]:
    """With the boxes around ellipses, and what the ROC curves' assignment found."""
    from s3fd.evaluation.fddb import ellipse_boxes
    from s3fd.evaluation.gallery import JudgedPhoto

    for photo, (regions, scores), matched in zip(
        found.photos, found.detections, result.matched, strict=True
    ):
        boxes = ellipse_boxes(regions) if regions.shape[1] == 5 else regions.astype("float32")
        faces = ellipse_boxes(photo.ellipses)
        yield JudgedPhoto(photo.path, faces, boxes, scores, matched=matched, name=photo.name)
