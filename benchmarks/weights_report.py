"""Measures weights on labelled photos, and writes the figures into their model card.

    python benchmarks/weights_report.py --fddb FDDB --photos PHOTOS
    python benchmarks/weights_report.py --weights runs/light/model.safetensors --card card.md ...

Average precision by set and by size of the faces, what thresholds keep, what is left of it in
photos that were turned, darkened and the like, what is found where there is no face, how many faces
that fill a picture are found, how far scores are from probabilities, and the time that a photo
takes. A photo's set is its name up to the first "-". The card keeps what it says outside the two
marks. `--plot` draws scores against precision, and `--trials` what is found in hard copies of the
bundled photo.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line
from benchmarks._card import check_card, table, write_card
from benchmarks._hardships import HARDSHIPS
from benchmarks._large_faces import SIDE, SIZES, large_faces
from benchmarks._measure import machine
from benchmarks._outputs import output_file, plot_file, write_figure
from benchmarks._pages import pages, pages_of_shapes
from benchmarks._sets import EDGES, HARD, Measured, hard_photos, sets_of
from benchmarks._trials import draw_trials
from s3fd import Detections, FaceDetector
from s3fd.data import AnnotatedImage, read_photos
from s3fd.defaults import MAX_SIZE, SCORE_THRESHOLD
from s3fd.evaluation import average_precision, evaluate_detector
from s3fd.evaluation.calibration import calibration_error, reliability
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.files import write_picture
from s3fd.images import Size, UInt8Array
from s3fd.images.resize import resized
from s3fd.models import load_checkpoint, pretrained_path

_FDDB = "FDDB"
_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_PAGES = 100
_FEWEST = 20  # detections that a point of the plot stands for


def measure(
    detector: FaceDetector, name: str, photos: Sequence[AnnotatedImage], scale: float = 1.0
) -> Measured:
    """Finds the faces of photos that are enlarged or shrunk first."""

    def find(pictures: Sequence[UInt8Array]) -> Sequence[Detections]:
        largest = round(scale * max(max(picture.shape) for picture in pictures))
        answer = detector(
            [resized(picture, *_times(scale, picture)) for picture in pictures],
            score_threshold=LOWEST_SCORE,
            max_size=MAX_SIZE if scale == 1 else largest,
        )
        return [
            replace(faces, boxes=faces.boxes / scale, image_size=picture.shape[:2])
            for faces, picture in zip(answer, pictures, strict=True)
        ]

    result = evaluate_detector(find, photos)
    return Measured(name, scale, photos, [faces.numpy() for faces in result.detections])


def measure_hardships(
    detector: FaceDetector, photos: Sequence[AnnotatedImage]
) -> Iterator[Measured]:
    """The detections in photos that have been through something, by its name."""

    def find(pictures: Sequence[UInt8Array]) -> Sequence[Detections]:
        return detector(pictures, score_threshold=LOWEST_SCORE)

    for hardship in HARDSHIPS if photos else ():
        _say(hardship.name)
        result = evaluate_detector(hardship.before(find), photos)
        yield Measured(hardship.name, 1.0, photos, [faces.numpy() for faces in result.detections])


def measure_without_faces(
    detector: FaceDetector, together: Measured | None
) -> Iterator[tuple[str, int, NDArray[np.float64]]]:
    """Of pictures that show no face their kind, their number, and the scores of what is found."""
    if together is not None:
        pairs = zip(together.photos, together.found, strict=True)
        empty = [(photo, found) for photo, found in pairs if not len(photo.boxes)]
        part = Measured("", 1.0, *zip(*empty, strict=True)) if empty else None
        scores = part.curve.outcomes()[0] if part else np.empty(0)
        yield "photos", len(empty), scores
    for kind, drawn in (("letters", pages), ("shapes", pages_of_shapes)):
        name = f"pages of {kind}"
        _say(name)
        answers = [detector(page, score_threshold=_THRESHOLDS[0]) for page in drawn(_PAGES)]
        yield name, _PAGES, np.concatenate([faces.numpy()[1] for faces in answers])


def measure_large_faces(
    detector: FaceDetector, photos: Sequence[AnnotatedImage]
) -> Iterator[tuple[int, int, float]]:
    """For each size of faces that fill their picture their number, and the share that is found."""
    if photos:
        _say("large faces")
    found = [
        [(detector(cut).numpy(), box[None]) for cut, box in cuts] for cuts in large_faces(photos)
    ]
    by_size = zip(*found, strict=True)  # which is nothing where there is no such face
    for size, answers in zip(SIZES, by_size, strict=False):
        faces, boxes = zip(*answers, strict=True)
        yield size, len(boxes), average_precision(faces, boxes).at(SCORE_THRESHOLD).recall


def _times(scale: float, picture: UInt8Array) -> Size:
    return round(picture.shape[0] * scale), round(picture.shape[1] * scale)


def milliseconds(detector: FaceDetector, size: tuple[int, int], repeats: int = 30) -> float:
    """Median time of one image in memory, (width, height)."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    times = []
    for _ in range(repeats + 3):
        start = time.perf_counter()
        detector(image)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[3:])


def figures(
    measured: Sequence[Measured],
    together: Measured | None,
    hard: Sequence[Measured],
    large: Sequence[tuple[int, int, float]],
    detector: FaceDetector,
) -> Iterator[str]:
    """The lines of the card's measured part."""
    threshold = SCORE_THRESHOLD
    yield "Average precision (AP) of faces from 8 px on; precision and recall at the default"
    yield f"threshold, {threshold:g}, at IoU 0.5. Photos at a scale of 1 have at most 1 024 px."
    yield ""
    yield from table(
        ("set", "scale", "photos", "faces", "AP at IoU 0.5", "at 0.6", "precision", "recall"),
        (_set_row(part, threshold) for part in measured),
    )
    yield ""
    if together is not None:
        yield "All sets but FDDB, photos as they are, by `score_threshold`:"
        yield ""
        yield from table(
            ("", *(f"{threshold:g}" for threshold in _THRESHOLDS)), _threshold_rows(together)
        )
        yield ""
    yield "What is found where there is no face, by `score_threshold`. In photos what lies in an"
    yield "ignore box does not count; the letters are of typefaces that no training has seen:"
    yield ""
    yield from table(
        ("", "number", *(f"{threshold:g}" for threshold in _THRESHOLDS)),
        (
            [name, str(count), *(str((scores >= threshold).sum()) for threshold in _THRESHOLDS)]
            for name, count, scores in measure_without_faces(detector, together)
        ),
    )
    yield ""
    yield "AP at IoU 0.5 by the size of the faces, the square root of a box's area, in pixels:"
    yield ""
    ranges = [f"{low:g} to {high:g}" for low, high in pairwise(EDGES)]
    yield from table(("set", "scale", *ranges), map(_size_row, measured))
    yield ""
    if hard:
        yield f"Every {HARD}th of the labelled photos without those of crowds, as photos get hard:"
        yield ""
        yield from table(
            ("photos", "number", "faces", "AP at IoU 0.5", "at 0.6", "precision", "recall"),
            ([name, *rest] for name, _, *rest in (_set_row(part, threshold) for part in hard)),
        )
        yield ""
    if large:
        yield f"Faces of these photos, cut out so that they have so many pixels of {SIDE} x {SIDE},"
        yield f"and the share that is found at the default threshold, {threshold:g}, at IoU 0.5:"
        yield ""
        yield from table(
            ("pixels", "faces", "found"),
            ([str(size), str(count), f"{share:.3f}"] for size, count, share in large),
        )
        yield ""
    yield "Share of right detections among those of a score, photos as they are; where the share"
    yield "is the score, the score is a probability:"
    yield ""
    yield from table(
        ("set", *(f"{low / 10:g} to {low / 10 + 0.1:.1f}" for low in range(1, 10)), "mean error"),
        (_score_row(part) for part in measured if part.scale == 1),
    )
    yield ""
    times = ", ".join(
        f"{milliseconds(detector, size):.0f} ms at {size[0]} x {size[1]}"
        for size in ((640, 480), (1024, 768))
    )
    processor = machine(torch.device("cpu"))["cpu"]
    threads = torch.get_num_threads()
    on = f"{processor}, {threads} thread{'' if threads == 1 else 's'}, {detector.precision}"
    yield f"Time of an image in memory: {times} ({on})."


def _set_row(part: Measured, threshold: float) -> list[str]:
    point = part.curve.at(threshold)
    return [
        part.name,
        f"{part.scale:g}",
        str(len(part.photos)),
        str(part.curve.faces),
        f"{part.curve.average_precision:.4f}",
        f"{part.at_iou(0.6).average_precision:.4f}",
        f"{point.precision:.3f}",
        f"{point.recall:.3f}",
    ]


def _held_out(measured: Sequence[Measured]) -> list[Measured]:
    """All sets but FDDB, photos as they are."""
    return [part for part in measured if part.scale == 1 and part.name != _FDDB]


def _pooled(parts: Sequence[Measured]) -> Measured | None:
    """Sets as one; None where there is none."""
    if not parts:
        return None
    photos = [photo for part in parts for photo in part.photos]
    found = [detections for part in parts for detections in part.found]
    return Measured("all", 1.0, photos, found)


def _threshold_rows(part: Measured) -> Iterator[list[str]]:
    points = [part.curve.at(threshold) for threshold in _THRESHOLDS]
    yield ["precision", *(f"{point.precision:.3f}" for point in points)]
    yield ["recall", *(f"{point.recall:.3f}" for point in points)]


def _size_row(part: Measured) -> list[str]:
    cells = (
        f"{curve.average_precision:.3f} ({curve.faces})" if curve.faces else ""
        for curve in part.by_size()
    )
    return [part.name, f"{part.scale:g}", *cells]


def _score_row(part: Measured) -> list[str]:
    scores, found = part.curve.outcomes()
    kept = scores >= 0.1
    steps = {int(step.score * 10): step for step in reliability(scores, found)}
    cells = (f"{steps[low].precision:.2f}" if low in steps else "" for low in range(1, 10))
    return [part.name, *cells, f"{calibration_error(scores[kept], found[kept]):.3f}"]


def plot_scores(measured: Sequence[Measured], together: Measured | None, file: Path) -> None:
    """Draws the share of right detections over the score: each set at scale 1, and all together."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.2), layout="constrained")
    axes = figure.add_subplot(xlabel="score", ylabel="share that are faces")
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    sets = _held_out(measured)
    lines = [(part, "_", "#bbbbbb", 0.8) for part in sets]  # which no legend names
    if together is not None:
        lines.append((together, f"all {len(sets)} held-out sets", "#1f77b4", 2.0))
    lines += [(part, _FDDB, "#d62728", 2.0) for part in measured if part.name == _FDDB]
    for part, label, colour, width in lines:
        steps = [step for step in reliability(*part.curve.outcomes()) if step.count >= _FEWEST]
        scores, shares = [s.score for s in steps], [s.precision for s in steps]
        axes.plot(scores, shares, label=label, color=colour, linewidth=width)
    axes.legend()
    write_figure(file, figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.fddb is None and options.photos is None:
        print("error: nothing to measure on; name --fddb or --photos", file=sys.stderr)
        return 1
    card = options.card or pretrained_path("light").with_suffix(".md")
    try:
        check_card(card)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    weights = options.weights or pretrained_path("light")
    detector = FaceDetector(load_checkpoint(weights))
    photos = [] if options.photos is None else read_photos(options.photos, "val").photos
    measured = list(_all(detector, options, photos))
    together = _pooled(_held_out(measured))
    hard = list(measure_hardships(detector, hard_photos(photos)))
    large = list(measure_large_faces(detector, together.photos if together else ()))
    lines = figures(measured, together, hard, large, detector)
    write_card(card, lines)
    if options.plot is not None:
        plot_scores(measured, together, options.plot)
    if options.trials is not None:
        write_picture(draw_trials(detector), options.trials, "JPEG", quality=85)
    return 0


def _all(
    detector: FaceDetector, options: argparse.Namespace, photos: Sequence[AnnotatedImage]
) -> Iterator[Measured]:
    if options.fddb is not None:
        _say(_FDDB)
        yield measure(detector, _FDDB, read_photos(options.fddb).photos)
    for name, of_set in sets_of(photos).items():
        for scale in options.scales:
            _say(f"{name} at {scale:g}")
            yield measure(detector, name, of_set, scale)


def _say(name: str) -> None:
    print(f"measuring {name}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = command_line("weights_report", __doc__)
    parser.add_argument("--weights", type=Path, help="a checkpoint (default: the bundled light)")
    parser.add_argument("--card", type=Path, help="the card to write into (default: its own)")
    parser.add_argument("--fddb", type=Path, help="the folder of FDDB")
    parser.add_argument("--photos", type=Path, help="labelled photos with a split val")
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[1.0, 2.0], help="of the labelled photos"
    )
    parser.add_argument(
        "--plot", type=plot_file, help="an image of scores and precision, .png or .svg"
    )
    parser.add_argument(
        "--trials", type=output_file(".jpg"), help="an image of hard copies of a photo, .jpg"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
