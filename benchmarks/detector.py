"""Times the detector from a file to its faces, beside OpenCV's YuNet and runtimes of its export.

    python benchmarks/detector.py
    python benchmarks/detector.py --yunet face_detection_yunet_2023mar.onnx --onnx light.onnx
    python benchmarks/detector.py --photo mine.jpg --threads 1 --processor-time

All take turns in one process. Ours starts from the file; YuNet and the runtimes get pixels that
were decoded and shrunk before. YuNet's weights are others' and no part of this project.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import add_threads, command_line
from benchmarks._measure import machine
from benchmarks._outputs import output_file, write_json
from benchmarks._photo import PHOTO
from s3fd import FaceDetector
from s3fd.defaults import MAX_SIZE
from s3fd.images import Size, UInt8Array, read_scaled

Call: TypeAlias = Callable[[], object]

SIZES = ((640, 480), (1920, 1080), (4032, 3024))
_FEWEST_TURNS = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name, file in (("--yunet", options.yunet), ("--onnx", options.onnx)):
        if file is not None and not file.is_file():
            parser.error(f"{name}: there is no file {file}")
    for name, needed in (("--yunet", "cv2"), ("--onnx", "onnxruntime")):
        if getattr(options, name[2:]) is not None and find_spec(needed) is None:
            parser.error(f"{name}: needs packages that `pip install s3fd[bench]` brings")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    clock = time.process_time if options.processor_time else time.perf_counter

    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        photos = options.photo or made_up_photos(Path(folder), SIZES)
        detectors = {
            name: FaceDetector.from_pretrained(options.model, "cpu", precision=name)
            for name in ("float32", "auto")
        }
        for path in photos:
            calls = dict(_ours(path, detectors))
            pixels = _as_the_network_sees_it(path)
            calls.update(_others(pixels, options.yunet, options.onnx))
            with Image.open(path) as image:
                title = f"{path.name}, {image.width} x {image.height}"
            figures[title] = time_in_turns(calls, clock, options.seconds)
    described = machine(torch.device("cpu"))
    kind = "processor time" if options.processor_time else "time"
    _print(figures, f"{described['cpu']}, {described['threads']} threads; {kind} in ms, medians")
    if options.json is not None:
        record = {"machine": described, "clock": kind, "milliseconds": figures}
        write_json(options.json, record)
    return 0


def made_up_photos(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[Path]:
    """The bundled photo in several sizes (width and height), as JPEGs of quality 90."""
    photo = Image.open(PHOTO)
    paths = [folder / f"{width}.jpg" for width, _ in sizes]
    for path, size in zip(paths, sizes, strict=True):
        photo.resize(size, Image.Resampling.LANCZOS).save(path, quality=90)
    return paths


def time_in_turns(
    calls: Mapping[str, Call], clock: Callable[[], float], seconds: float
) -> dict[str, float]:
    """Medians in milliseconds of calls that take turns, for so many seconds."""
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(taken.values()))) < _FEWEST_TURNS:
        for name, call in calls.items():
            start = clock()
            call()
            taken[name].append(1000 * (clock() - start))
    return {name: median(times) for name, times in taken.items()}


def _ours(path: Path, detectors: Mapping[str, FaceDetector]) -> Iterator[tuple[str, Call]]:
    exact, fast = detectors["float32"], detectors["auto"]
    yield "Pillow, float32", lambda: exact(_by_pillow(path))
    yield "float32", lambda: exact(path)
    if fast.precision != exact.precision:
        yield f"auto ({fast.precision})", lambda: fast(path)
    yield "reading and shrinking alone", lambda: _as_the_network_sees_it(path)


def _by_pillow(path: Path) -> UInt8Array:
    """The usual way: everything is decoded, and shrunk by Pillow."""
    image = Image.open(path).convert("RGB")
    height, width = _shrunk((image.height, image.width))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))


def _as_the_network_sees_it(path: Path) -> UInt8Array:
    return read_scaled(path, _shrunk).pixels


def _shrunk(size: Size) -> Size:
    factor = min(1.0, MAX_SIZE / max(size))
    return round(size[0] * factor), round(size[1] * factor)


def _others(
    pixels: UInt8Array, yunet: Path | None, exported: Path | None
) -> Iterator[tuple[str, Call]]:
    threads = torch.get_num_threads()
    if yunet is not None:
        import cv2

        cv2.setNumThreads(threads)
        height, width = pixels.shape[:2]
        network = cv2.FaceDetectorYN.create(str(yunet), "", (width, height))
        bgr = np.ascontiguousarray(pixels[:, :, ::-1])
        yield "YuNet, of pixels", lambda: network.detect(bgr)
    if exported is not None:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(exported, settings)
        yield "ONNX Runtime, of pixels", lambda: session.run(None, {"images": pixels[None]})
        if find_spec("openvino") is not None:
            import openvino

            hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            compiled = openvino.Core().compile_model(exported, "CPU", hints)
            yield "OpenVINO, of pixels", lambda: compiled([pixels[None]])


def _print(figures: Mapping[str, Mapping[str, float]], title: str) -> None:
    table = Table(title=title)
    table.add_column("photo")
    names = list(dict.fromkeys(name for row in figures.values() for name in row))
    for name in names:
        table.add_column(name, justify="right")
    for photo, row in figures.items():
        table.add_row(photo, *(f"{row[name]:.1f}" if name in row else "-" for name in names))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = command_line("detector", __doc__)
    parser.add_argument("--photo", type=Path, nargs="+", metavar="FILE", help="default: made up")
    parser.add_argument("--model", default="light", metavar="NAME|FILE", help="default: light")
    parser.add_argument("--yunet", type=Path, metavar="FILE.onnx", help="YuNet's weights")
    parser.add_argument("--onnx", type=Path, metavar="FILE.onnx", help="what s3fd export wrote")
    add_threads(parser)
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="what the process computes, of all its threads: for a busy machine, with --threads 1",
    )
    parser.add_argument("--seconds", type=float, default=10, metavar="N", help="for each photo")
    parser.add_argument("--json", type=output_file(), metavar="FILE", help="write all figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
