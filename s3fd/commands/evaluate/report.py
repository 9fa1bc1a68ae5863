"""What ``s3fd evaluate`` prints and writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s3fd.commands.evaluate.options import EvaluationOutputs
from s3fd.commands.outputs import name_value_table, say
from s3fd.defaults import SCORE_THRESHOLD
from s3fd.files import whole_file

if TYPE_CHECKING:
    from s3fd.evaluation import PrecisionRecall
    from s3fd.evaluation.gallery import JudgedPhoto
    from s3fd.evaluation.plots import Curve
    from s3fd.evaluation.predictions import Prediction

_SUSPICIOUS_SCORE = 0.3  # of the scores between 0 and 1; a detector gives many below, if it may


@dataclass(frozen=True)
class Report:
    """The result of an evaluation, ready to be shown.

    Attributes:
        title: which detector, and which data.
        rows: what is printed.
        record: what is written as JSON.
        panels: the curves of the plot, and the columns of the table in Markdown.
        photos: makes what the gallery shows.
        is_roc: whether the curves are ROC curves.
        caption: for the table in Markdown.
        score_threshold: from which on the gallery shows false positives.
    """

    title: str
    rows: Mapping[str, str]
    record: dict[str, Any]
    panels: Mapping[str, Sequence[Curve]]
    photos: Callable[[], Iterable[JudgedPhoto]]
    is_roc: bool = False
    caption: str = ""
    score_threshold: float = field(default=SCORE_THRESHOLD)

    def publish(self, outputs: EvaluationOutputs) -> None:
        """Prints the table, or the JSON instead, and writes all files that are asked for."""
        outputs.publish(self.record, name_value_table(self.rows.items()))
        if outputs.markdown is not None:
            self._write_markdown(outputs.markdown)
        if outputs.plot is not None:
            self._plot(outputs.plot)
        if outputs.gallery is not None:
            from s3fd.evaluation.gallery import write_gallery

            write_gallery(
                outputs.gallery,
                self.photos(),
                title=self.title,
                score_threshold=self.score_threshold,
            )

    def _write_markdown(self, path: Path) -> None:
        from s3fd.evaluation.tables import ResultTable

        table = ResultTable.from_curves(self.panels, self.caption)
        with whole_file(path) as file:
            file.write(table.markdown().encode(errors="backslashreplace"))

    def _plot(self, path: Path) -> None:
        from s3fd.evaluation.plots import plot_precision_recall, plot_roc

        (plot_roc if self.is_roc else plot_precision_recall)(path, self.panels, title=self.title)


def warn_of_missing(missing: Sequence[str], images: int) -> None:
    """Says how many images have no prediction, if there are any."""
    if missing:
        say(
            "warning",
            f"{len(missing)} of {images} images have no predictions, such as {missing[0]}: they "
            "count as images without detections",
        )


def warn_of_high_scores(predictions: Sequence[Prediction]) -> None:
    """Says that low scores seem to be left out, as `s3fd detect` does by default."""
    from s3fd.evaluation.photos import LOWEST_SCORE

    lowest = min((scores.min() for _, scores in predictions if len(scores)), default=0.0)
    highest = max((scores.max() for _, scores in predictions if len(scores)), default=0.0)
    if lowest >= _SUSPICIOUS_SCORE and highest <= 1:
        say(
            "warning",
            f"no detection has a score below {lowest:.2f}, but average precision needs the low "
            f"scores, too: it comes out too low; run `s3fd detect` with --threshold {LOWEST_SCORE}",
        )


def curve_figures(curve: PrecisionRecall) -> dict[str, Any]:
    """Average precision, and what the default score threshold gives."""
    point = curve.at(SCORE_THRESHOLD)
    return {
        "average_precision": number(curve.average_precision),
        "at_default_threshold": {
            "score_threshold": SCORE_THRESHOLD,
            "recall": number(point.recall),
            "precision": number(point.precision),
            "false_positives": point.false_positives,
        },
    }


def curve_rows(curve: PrecisionRecall, iou_threshold: float) -> dict[str, str]:
    """The same as `curve_figures`, to be printed."""
    point = curve.at(SCORE_THRESHOLD)
    return {
        "average precision": f"{decimal(curve.average_precision)} at IoU {iou_threshold}",
        "recall": f"{decimal(point.recall)} at score {SCORE_THRESHOLD}",
        "precision": f"{decimal(point.precision)} at score {SCORE_THRESHOLD}"
        f" ({point.false_positives} false positives)",
    }


def number(value: float) -> float | None:
    """None for NaN, which JSON does not know."""
    return None if math.isnan(value) else float(value)


def decimal(value: float) -> str:
    """Four decimals, or what NaN means."""
    return "undefined" if math.isnan(value) else f"{value:.4f}"
