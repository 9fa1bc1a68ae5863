"""Compares face detectors on held-out photos: set by set, enlarged, turned, dark and worn.

    python benchmarks/held_out.py --photos DIR --yunet yunet_n_dynamic.onnx
    python benchmarks/held_out.py --photos DIR --sets crowd groups --model mod11l.safetensors

Average precision of faces from 8 px on, as in the model card. All detectors see the same pixels, of
photos that have at most 1 024 px before they are enlarged. A photo's set is its name up to the
first "-". Labels that a detector made favour that detector: `docs/benchmarks.md` says whose they
are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line
from benchmarks._card import check_card, table, write_card
from benchmarks._hardships import HARDSHIPS, Find
from benchmarks._sets import Measured, hard_photos, sets_of
from benchmarks.accuracy import Peer, add_peers, peers_of
from s3fd import Detections
from s3fd.data import AnnotatedImage, read_photos
from s3fd.defaults import MAX_SIZE
from s3fd.evaluation import PrecisionRecall, evaluate_detector
from s3fd.images import UInt8Array
from s3fd.images.resize import resized

_SCALES = 1.0, 2.0


@dataclass(frozen=True)
class Trial:
    """Photos, and what is done to them before they are shown."""

    name: str
    photos: Sequence[AnnotatedImage]
    scale: float = 1.0
    hardship: str = HARDSHIPS[0].name

    def curve(self, peer: Peer) -> PrecisionRecall:
        """Of one detector."""
        before = next(each.before for each in HARDSHIPS if each.name == self.hardship)
        found = evaluate_detector(before(_enlarging(peer, self.scale)), self.photos).detections
        return Measured(self.name, 1.0, self.photos, [faces.numpy() for faces in found]).curve


def _enlarging(peer: Peer, scale: float) -> Find:
    """Finds in photos of at most `MAX_SIZE` pixels times `scale`; boxes are in the photos' own."""

    def find_one(picture: UInt8Array) -> Detections:
        height, width = picture.shape[:2]
        factor = scale * min(1.0, MAX_SIZE / max(height, width))
        size = max(1, round(height * factor)), max(1, round(width * factor))
        faces = peer.find(picture if size == (height, width) else resized(picture, *size))
        return replace(faces, boxes=faces.boxes / factor, image_size=(height, width))

    return lambda pictures: [find_one(picture) for picture in pictures]


def trials(folder: Path, names: Sequence[str]) -> Iterator[Trial]:
    """Sets with faces at each scale, and all that photos go through.

    Raises:
        ValueError: there is no set of such a name.
    """
    photos = read_photos(folder, "val").photos
    sets = {name: s for name, s in sets_of(photos).items() if any(len(p.boxes) for p in s)}
    for name in names or sets:
        if name not in sets:
            raise ValueError(f"--sets: expected some of {', '.join(sets)}, got {name}")
        for scale in _SCALES:
            yield Trial(f"`{name}`, {scale:g} x", sets[name], scale)
    hard = hard_photos(photos)
    for hardship in HARDSHIPS if hard else ():
        yield Trial(hardship.name, hard, hardship=hardship.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        peers = peers_of(options, max_size=None)
        wanted = list(trials(options.photos, options.sets))
        check_card(options.page)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    rows = []
    for trial in wanted:
        print(f"measuring {trial.name}", flush=True)
        curves = [trial.curve(peer) for peer in peers]
        precisions = [f"{curve.average_precision:.3f}" for curve in curves]
        rows.append((trial.name, f"{len(trial.photos)}", f"{curves[0].faces}", *precisions))
    lines = list(table(("photos", "number", "faces", *(peer.name for peer in peers)), rows))
    print("\n".join(lines))
    if options.page is not None:
        write_card(options.page, ["", *lines, ""])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_line("held_out", __doc__)
    parser.add_argument("--photos", type=Path, required=True, help="labelled photos, split val")
    parser.add_argument(
        "--sets", nargs="*", default=[], metavar="NAME", help="some of them (default: all)"
    )
    add_peers(parser)
    parser.add_argument("--page", type=Path, help="a page with marks to write the table into")
    return parser


if __name__ == "__main__":
    sys.exit(main())
