"""Measures what Ray costs beside the plain detector: a row of a batch, and a cluster of one worker.

    python benchmarks/ray_overhead.py [--photos N] [--json FILE]

Processor time and time of the bundled photo in several sizes: found by `FaceDetector.stream`, by
`s3fd.ray.DetectFaces` in this process, in turns; and by a worker of a local cluster, whose start is
told apart.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import torch
from PIL import Image

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line, positive
from benchmarks._outputs import output_file, write_json
from benchmarks._photo import PHOTO
from s3fd import FaceDetector
from s3fd.ray import DetectFaces

_TURNS = 5


def parsed(
    name: str, text: str | None, arguments: Sequence[str] | None, *, photos: int
) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """What the benchmarks of Ray are told, and that it is there."""
    parser = command_line(name, text)
    parser.add_argument(
        "--photos", type=positive, default=photos, metavar="N", help="default: %(default)s"
    )
    parser.add_argument("--json", type=output_file(), metavar="FILE", help="write all figures")
    options = parser.parse_args(arguments)
    if find_spec("ray") is None:
        parser.error("needs Ray: pip install 's3fd[ray]'")
    return parser, options


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    _, options = parsed("ray_overhead", __doc__, arguments, photos=64)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(made_up_photos(Path(folder), options.photos))
    for name, milliseconds in figures.items():
        print(f"{name}: {milliseconds:.1f} ms")
    if options.json is not None:
        write_json(options.json, figures)
    return 0


def made_up_photos(folder: Path, count: int) -> list[str]:
    """The bundled photo in sizes of 320 to 640 pixels."""
    photo = Image.open(PHOTO)
    paths = [folder / f"{number:04}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        side = 320 + number % 6 * 64
        photo.resize((side, side)).save(path, quality=90)
    return [str(path) for path in paths]


def measure(paths: Sequence[str]) -> dict[str, float]:
    """Milliseconds a photo, by what they are."""
    detector, rows = FaceDetector.from_pretrained(device="cpu"), DetectFaces(device="cpu")

    def plain() -> None:
        for _ in detector.stream(list(paths)):
            pass

    ways: dict[str, Callable[[], object]] = {
        "processor time, plain": plain,
        "processor time, DetectFaces": lambda: rows({"path": list(paths)}),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(_TURNS + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if turn:  # the first one warms up
                taken[name].append(1000 * (time.process_time() - start) / len(paths))
    figures = {name: median(times) for name, times in taken.items()}
    return figures | on_a_cluster(paths, plain)


def on_a_cluster(paths: Sequence[str], plain: Callable[[], object]) -> dict[str, float]:
    """Times of a pipeline of one worker; what stays if the photos are doubled is its start."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        once, twice = _pipeline(paths), _pipeline([*paths, *paths])
    finally:
        ray.shutdown()
    start = time.perf_counter()
    plain()
    return {
        "time, plain": 1000 * (time.perf_counter() - start) / len(paths),
        "time, a worker": 1000 * (twice - once) / len(paths),
        "time, start of the pipeline": 1000 * (2 * once - twice),
    }


def _pipeline(paths: Sequence[str]) -> float:
    import ray.data

    start = time.perf_counter()
    found = ray.data.from_items([{"path": path} for path in paths]).map_batches(
        DetectFaces, fn_constructor_kwargs={"device": "cpu"}, batch_size=64, concurrency=1
    )
    assert len(found.take_all()) == len(paths)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
