"""Times the making of training batches against the training step that they feed.

    python benchmarks/loader.py                              # made-up photos
    python benchmarks/loader.py --data WIDER --workers 0 1 2 4 8 --model vgg16 --device cuda
    python benchmarks/loader.py --data DIR --cache CACHE --recipe small-inputs --input-size 256

The photos are made up unless --data names some: 1 024 pixels wide, as WIDER FACE's are, as JPEG.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._arguments import command_line, positive
from benchmarks._measure import machine
from benchmarks._outputs import output_file, write_json
from benchmarks._photo import PHOTO
from s3fd.data import (
    Augmentation,
    Batch,
    PhotoCache,
    TrainingBatches,
    load_batches,
    read_photos,
)
from s3fd.models import S3FD
from s3fd.training.distributed import Processes
from s3fd.training.gradient import StepGradient
from s3fd.training.loss import DetectionLoss
from s3fd.training.precision import Precision

RECIPES = {
    "paper": Augmentation(),
    "anchor-sampling": Augmentation(anchor_sampling=0.5),
    "small-inputs": Augmentation.small_inputs(),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.cache and not options.data:
        parser.error(
            "--cache: made-up photos are gone after the run, and their cache would be of no use; "
            "name photos with --data"
        )
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        data = options.data or made_up_photos(Path(folder), count=64)
        photos = read_photos(data).photos
        settings: dict[str, Any] = {
            "steps": 1_000_000,
            "batch_size": options.batch_size,
            "input_size": options.input_size,
            "seed": 1,
            "augmentation": RECIPES[options.recipe],
        }
        if options.cache:
            cache = PhotoCache(options.cache)
            cache.add(photos, workers=os.cpu_count() or 1)
            settings["open_photo"] = cache.open
        batches = TrainingBatches(photos, **settings)
        figures = {
            f"loader, {workers} workers": loader_speed(batches, workers, options.seconds)
            for workers in options.workers
        }
        speed, milliseconds = speed_of_one_core(batches, options.seconds)
        figures["loader, per core"] = speed
        planned, planned_milliseconds = speed_of_one_core(batches, options.seconds, plans=True)
        figures["plans alone, per core"] = planned
        figures[f"pixels of plans, on {device.type}"] = render_speed(
            batches, device, options.seconds
        )
        batch = batches[0]
    name = f"step, {options.model} on {device.type}"
    figures[name] = step_speed(batch, options.model, device, options.seconds)
    report(figures, milliseconds, planned_milliseconds, machine(device), options)
    return 0


def made_up_photos(folder: Path, count: int) -> Path:
    """Photos as large as WIDER FACE's, of the astronaut and noise, and their annotations."""
    rng = np.random.default_rng(0)
    astronaut = Image.open(PHOTO).convert("RGB")
    entries = []
    for number in range(count):
        height = int(rng.integers(576, 1025))
        pixels = np.asarray(astronaut.resize((1024, height), Image.Resampling.BICUBIC))
        noisy = (pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number}.jpg", quality=90)
        scale = height / 512
        box = [180 * 2, 56 * scale, 271 * 2, 178 * scale]
        entries.append({"image": f"{number}.jpg", "width": 1024, "height": height,
                        "split": "train", "boxes": [box], "ignore": []})  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps({"images": entries}))
    return folder


def loader_speed(batches: TrainingBatches, workers: int, seconds: float) -> float:
    """Images a second that arrive in this process; the first batches are not counted."""
    images, start = 0, 0.0
    warm_up = 1 + 2 * workers  # what the workers had ready
    for step, batch in enumerate(load_batches(batches, workers=workers)):
        if step < warm_up:
            start = time.perf_counter()
            continue
        images += len(batch.counts)
        if time.perf_counter() - start > seconds:
            break
    return images / (time.perf_counter() - start)


def speed_of_one_core(
    batches: TrainingBatches, seconds: float, *, plans: bool = False
) -> tuple[float, float]:
    """What the loader costs in processor time, which other work on the machine hardly changes.

    Args:
        batches: the run.
        seconds: for how long it is measured.
        plans: a device makes the pixels, from what the loader has drawn.

    Returns:
        Images a second, and milliseconds for as many pixels as an image of 256 x 256 has.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = pixels = 0
    start, end = time.process_time(), time.perf_counter() + seconds
    for step in range(len(batches)):
        batch = batches.planned(step).batch if plans else batches[step]
        images += len(batch.counts)
        pixels += len(batch.counts) * batch.images.shape[2] * batch.images.shape[3]
        if time.perf_counter() > end:
            break
    torch.set_num_threads(threads)
    elapsed = time.process_time() - start
    return images / elapsed, 1000 * elapsed / (pixels / 256**2)


def render_speed(batches: TrainingBatches, device: torch.device, seconds: float) -> float:
    """Images a second whose pixels a device makes, from plans that wait in memory."""
    plans = [batches.planned(step) for step in range(4)]

    def advance() -> None:
        for plan in plans:
            plan.render(device)

    return sum(len(plan.batch.counts) for plan in plans) * times_a_second(advance, device, seconds)


def step_speed(batch: Batch, name: str, device: torch.device, seconds: float) -> float:
    """Images a second of forward, loss, backward and update, on the same batch again and again."""
    model = S3FD(name).to(device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload, arg-type]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    gradient = StepGradient(
        model, model, DetectionLoss(model.grid), Precision("auto", device), Processes(device)
    )

    def advance() -> None:
        gradient(batch)
        optimizer.step()
        optimizer.zero_grad()

    return len(batch.counts) * times_a_second(advance, device, seconds)


def times_a_second(advance: Callable[[], None], device: torch.device, seconds: float) -> float:
    """How often something is done on a device, whose first time is not counted."""

    def whole() -> None:
        advance()
        if device.type == "cuda":
            torch.cuda.synchronize()

    whole()
    times, start = 0, time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        whole()
        times += 1
    return times / (time.perf_counter() - start)


def report(
    figures: dict[str, float],
    milliseconds: float,
    planned_milliseconds: float,
    described: dict[str, Any],
    options: Any,
) -> None:
    console = Console()
    console.print(
        f"{described['cpu']}, {described['cores']} cores, torch {described['torch']}, load "
        f"{described['load']}; {options.data or 'made-up photos of 1024 px'}, recipe "
        f"{options.recipe}, {options.batch_size} images of {options.input_size} px",
        markup=False, highlight=False,
    )  # fmt: skip
    table = Table("", "images/s")
    for name, speed in figures.items():
        table.add_row(name, f"{speed:.1f}")
    console.print(table)
    console.print(
        f"loader: {milliseconds:.2f} ms of a core for 256 x 256 pixels, "
        f"{planned_milliseconds:.2f} ms where a device makes them"
    )
    if options.json:
        record = {"machine": described, "images_per_second": figures,
                  "milliseconds_for_256_x_256": milliseconds,
                  "milliseconds_of_plans": planned_milliseconds,
                  "recipe": options.recipe, "batch_size": options.batch_size,
                  "input_size": options.input_size}  # fmt: skip
        write_json(options.json, record)


def _parser() -> argparse.ArgumentParser:
    parser = command_line("loader", (__doc__ or "").split("\n\n")[0])
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="photos with faces; default: made-up ones")
    add("--cache", type=Path, metavar="DIR", help="take decoded photos from there (made if needed)")
    add("--recipe", choices=RECIPES, default="paper", help="the augmentation (%(default)s)")
    add("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="(0 1 2)")
    add("--batch-size", type=positive, default=16, metavar="N", help="(%(default)s)")
    add("--input-size", type=positive, default=640, metavar="PX", help="(%(default)s)")
    add("--model", choices=("light", "vgg16"), default="light", help="(%(default)s)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    add("--seconds", type=float, default=10, metavar="S", help="for each figure (%(default)s)")
    add("--json", type=output_file(), metavar="FILE", help="write the figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
