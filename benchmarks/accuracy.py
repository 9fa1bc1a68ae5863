"""Compares face detectors on FDDB, and writes the table of the README.

    python benchmarks/accuracy.py --fddb FDDB
    python benchmarks/accuracy.py --fddb FDDB --yunet face_detection_yunet_2023mar.onnx \\
        --model mod11l.safetensors --readme README.md

Average precision with boxes around the ellipses, and the processor time of a photo on one thread,
decoding not included; all detectors get the same pixels and take turns. `docs/benchmarks.md` says
where weights of others come from; they are no part of this project.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
import torch

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line, positive
from benchmarks._card import check_card, table, write_card
from benchmarks._measure import machine
from s3fd import Detections, FaceDetector
from s3fd.data import AnnotatedImage, read_photos
from s3fd.defaults import MAX_SIZE
from s3fd.evaluation import average_precision
from s3fd.evaluation.photos import LOWEST_SCORE
from s3fd.images import UInt8Array, read_image

Find: TypeAlias = Callable[[UInt8Array], Detections]


@dataclass
class Peer:
    """A detector, and what it did.

    Attributes:
        name: for the table.
        size: of its weights, in bytes.
        find: gives the faces of a photo, uint8 ``[H, W, 3]``, RGB.
        found: those of each photo.
        seconds: of processor time that each photo took.
    """

    name: str
    size: int
    find: Find
    found: list[Detections] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def ours(model: str, max_size: int | None = MAX_SIZE) -> Peer:
    """A detector of this package, with bundled weights or those of a file."""
    from s3fd.models.checkpoint import weights_path

    detector = FaceDetector.from_pretrained(model, "cpu", precision="float32")
    path = weights_path(model)

    def find(pixels: UInt8Array) -> Detections:
        return detector(pixels, score_threshold=LOWEST_SCORE, max_size=max_size)

    return Peer(f"s3fd, `{path.stem}`", path.stat().st_size, find)


def yunet(path: Path) -> Peer:
    """OpenCV's YuNet, with the score threshold of evaluations."""
    import cv2

    cv2.setNumThreads(1)
    network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), LOWEST_SCORE)

    def find(pixels: UInt8Array) -> Detections:
        height, width = pixels.shape[:2]
        network.setInputSize((width, height))
        rows = network.detect(np.ascontiguousarray(pixels[:, :, ::-1]))[1]
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        boxes = torch.from_numpy(rows[:, :4].copy())
        boxes[:, 2:] += boxes[:, :2]
        return Detections(boxes, torch.from_numpy(rows[:, 14].copy()), (height, width))

    return Peer(f"YuNet, OpenCV {cv2.__version__}", path.stat().st_size, find)


def add_peers(parser: argparse.ArgumentParser) -> None:
    """``--model`` and ``--yunet``."""
    parser.add_argument("--model", nargs="+", default=[], metavar="FILE", help="more weights")
    parser.add_argument("--yunet", type=Path, metavar="FILE.onnx", help="YuNet's weights")


def peers_of(options: argparse.Namespace, max_size: int | None = MAX_SIZE) -> list[Peer]:
    """`light`, and the detectors that these options name.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: they can't be read, or OpenCV is missing.
    """
    if options.yunet is not None and not options.yunet.is_file():
        raise FileNotFoundError(f"--yunet: there is no file {options.yunet}")
    if options.yunet is not None and find_spec("cv2") is None:
        raise ValueError("--yunet: needs OpenCV, which `pip install s3fd[bench]` brings")
    peers = [ours(model, max_size) for model in ("light", *options.model)]
    return peers if options.yunet is None else [*peers, yunet(options.yunet)]


def compare(peers: Sequence[Peer], photos: Sequence[AnnotatedImage]) -> None:
    """Lets all look at all photos, in turns."""
    for photo in photos:
        pixels = read_image(photo.path)
        for peer in peers:
            start = time.process_time()
            faces = peer.find(pixels)
            peer.seconds.append(time.process_time() - start)
            peer.found.append(faces)


def lines(peers: Sequence[Peer], photos: Sequence[AnnotatedImage], options: str) -> Iterator[str]:
    """The table, and how it was made."""
    faces = sum(len(photo.boxes) for photo in photos)
    yield from table(
        ("detector", "weights", "AP at IoU 0.5", "AP at IoU 0.6", "ms a photo"),
        (_row(peer, photos) for peer in peers),
    )
    yield ""
    sizes = [faces.image_size for faces in peers[0].found]
    height, width = (median(sides) for sides in zip(*sizes, strict=True))
    yield f"FDDB, {len(photos)} photos, {faces} faces, boxes around the ellipses; processor time in"
    yield f"float32 on one thread of {machine(torch.device('cpu'))['cpu']}, decoding not included,"
    yield f"medians of times and sizes, {width:.0f} x {height:.0f} px:"
    yield f"`python benchmarks/accuracy.py {options}`."


def _row(peer: Peer, photos: Sequence[AnnotatedImage]) -> list[str]:
    found = [detections.numpy() for detections in peer.found]
    precisions = [f"{_precision(found, photos, iou):.3f}" for iou in (0.5, 0.6)]
    size, milliseconds = f"{peer.size / 1e6:.1f} MB", f"{1000 * median(peer.seconds):.0f}"
    return [peer.name, size, *precisions, milliseconds]


def _precision(
    found: Sequence[tuple[np.ndarray, np.ndarray]],
    photos: Sequence[AnnotatedImage],
    iou_threshold: float,
) -> float:
    boxes, ignore = [photo.boxes for photo in photos], [photo.ignore for photo in photos]
    return average_precision(
        found, boxes, ignore=ignore, iou_threshold=iou_threshold
    ).average_precision


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        peers = peers_of(options)
        photos = read_photos(options.fddb).photos[:: options.every]
        check_card(options.readme)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    compare(peers, photos)
    shown = list(lines(peers, photos, _repeated(options)))
    print("\n".join(shown))
    if options.readme is not None:
        write_card(options.readme, ["", *shown, ""])
    return 0


def _repeated(options: argparse.Namespace) -> str:
    """The options of a table like this one."""
    parts = ["--fddb FDDB", *(f"--model {Path(model).name}" for model in options.model)]
    if options.yunet is not None:
        parts.append(f"--yunet {options.yunet.name}")
    if options.every > 1:
        parts.append(f"--every {options.every}")
    return " ".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = command_line("accuracy", __doc__)
    parser.add_argument("--fddb", required=True, metavar="DIR", help="the folder of FDDB")
    add_peers(parser)
    parser.add_argument("--readme", type=Path, metavar="FILE", help="write the table into it")
    parser.add_argument(
        "--every", type=positive, default=1, metavar="N", help="take each Nth photo"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
