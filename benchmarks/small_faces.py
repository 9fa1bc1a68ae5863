"""Measures what `min_face` brings in crowds and what it costs: a table, and a plot beside it.

    python benchmarks/small_faces.py --photos DIR --set crowd --page docs/detector.md \\
        --plot docs/images/light-small-faces.png

Each setting looks at the same held-out photos: a set of the split ``val`` of DIR, whose names have
its own before the first "-". Time is that of the processor, in all threads, reading not included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line
from benchmarks._card import check_card, table, write_card
from benchmarks._measure import machine
from benchmarks._outputs import plot_file, write_figure
from benchmarks._sets import sets_of
from s3fd import FaceDetector
from s3fd.data import AnnotatedImage, read_photos
from s3fd.defaults import SCORE_THRESHOLD
from s3fd.evaluation import PrecisionRecall, average_precision_by_size
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.images import read_image

EDGES = (8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 1024.0)


@dataclass(frozen=True)
class Look:
    """What one setting found.

    Attributes:
        min_face: the setting; None for the default.
        seconds: of processor time for a photo, the mean.
        curves: one for each range of `EDGES`.
    """

    min_face: float | None
    seconds: float
    curves: Sequence[PrecisionRecall]

    @property
    def name(self) -> str:
        """For the table and the plot."""
        return "default" if self.min_face is None else f"min_face={self.min_face:g}"

    def recalls(self) -> list[float]:
        """Share of the faces of each range that are found at the default threshold."""
        return [curve.at(SCORE_THRESHOLD).recall for curve in self.curves]


def look(detector: FaceDetector, photos: Sequence[AnnotatedImage], min_face: float | None) -> Look:
    """Finds the faces of all photos, and compares them with their labels."""
    found, seconds = [], 0.0
    for photo in photos:
        image = read_image(photo.path)
        start = time.process_time()
        faces = detector(image, score_threshold=LOWEST_SCORE, min_face=min_face)
        seconds += time.process_time() - start
        found.append(faces.numpy())
    boxes = [photo.boxes for photo in photos]
    ignore = [photo.ignore for photo in photos]
    curves = average_precision_by_size(found, boxes, EDGES, ignore=ignore)
    return Look(min_face, seconds / len(photos), curves)


def figures(name: str, photos: int, looks: Sequence[Look]) -> Iterator[str]:
    """The lines of the page's measured part."""
    processor = machine(torch.device("cpu"))["cpu"]
    yield f"Held-out photos `{name}` ({photos} of them): processor time of a photo ({processor}),"
    yield "and the share of the faces of a size that are found at the default threshold."
    yield ""
    columns = (
        f"{low:g} to {high:g} px ({curve.faces})"
        for (low, high), curve in zip(pairwise(EDGES), looks[0].curves, strict=True)
    )
    yield from table(
        ("", "ms a photo", *columns),
        (
            (f"`{each.name}`", f"{1000 * each.seconds:.0f}", *(f"{r:.2f}" for r in each.recalls()))
            for each in looks
        ),
    )


def plot(looks: Sequence[Look], file: Path) -> None:
    """Draws the share of faces that each setting finds, one line for each range of sizes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.add_subplot(ylabel="share of faces found", ylim=(0, 1.02))
    recalls = np.array([each.recalls() for each in looks])  # [L, R]
    for column, (low, high) in enumerate(pairwise(EDGES)):
        axes.plot(recalls[:, column], marker="o", label=f"{low:g} to {high:g} px")
    labels = [f"{each.name}\n{1000 * each.seconds:.0f} ms" for each in looks]
    axes.set_xticks(range(len(looks)), labels, fontsize=7)
    axes.legend(fontsize=7)
    write_figure(file, figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        check_card(options.page)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    photos = sets_of(read_photos(options.photos, "val").photos).get(options.set)
    if not photos:
        print(
            f"error: no held-out photo of {options.photos} is called {options.set}-…",
            file=sys.stderr,
        )
        return 1
    detector = FaceDetector.from_pretrained(options.weights, device="cpu").warmup()
    looks = []
    for min_face in (None, *options.min_face):
        print(f"min_face {min_face}", flush=True)
        looks.append(look(detector, photos, min_face))
    lines = list(figures(options.set, len(photos), looks))
    if options.plot is not None:
        plot(looks, options.plot)
    if options.page is None:
        print("\n".join(lines))
        return 0
    write_card(options.page, lines)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_line("small_faces", __doc__)
    parser.add_argument("--weights", default="light", help="a name or a file (default: light)")
    parser.add_argument("--photos", type=Path, required=True, help="labelled photos, split val")
    parser.add_argument("--set", default="crowd", help="which of them (default: crowd)")
    parser.add_argument(
        "--min-face", type=float, nargs="+", default=[32.0, 24.0, 16.0, 12.0, 8.0, 6.0]
    )
    parser.add_argument("--page", type=Path, help="a page with marks to write the table into")
    parser.add_argument("--plot", type=plot_file, help="an image, .png or .svg")
    return parser


if __name__ == "__main__":
    sys.exit(main())
