"""Full disks, folders that may not be read or written, clocks that jump: no half file."""

import ctypes
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random

from commands import ASSET, make_data, make_photos, run, train_arguments, whole_files
from judge import REFUSED, RIGHT, expect

CASES, QUICK = 120, 14
SECONDS = 600


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    photos, data = folder / "photos", folder / "data"
    if not photos.exists():
        make_photos(photos, 3)
        make_data(data)
    folder.chmod(0o755)
    out = folder / "out"

    def commands() -> dict[str, list[str]]:
        return {
            "json": ["detect", photos, "--json", out / "faces.jsonl"],
            "drawn": ["detect", photos, "--out", out / "drawn"],
            "train": train_arguments(data, out / "run"),
            "evaluate": ["evaluate", "annotations", "--data", data, "--json", out / "figures.json",
                         "--plot", out / "curve.png"],
            "convert": ["convert", _weights(), out / "copy.safetensors"],
            "gallery": ["evaluate", "annotations", "--data", data, "--gallery", out / "gallery"],
        }  # fmt: skip

    def case(index: int) -> str:
        rng = Random(f"{seed} {index}")
        _open(folder)
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        out.chmod(0o777)
        given = commands()
        name = list(given)[index // 3 % len(given)]
        way = (_full_disk, _closed, _jumping_clock)[index % 3]
        try:
            outcome = way(given[name], rng, folder)
        finally:
            _open(folder)
        whole_files(out)
        return outcome

    return case


def _weights() -> Path:
    return ASSET.parents[1] / "weights" / "light.safetensors"


def _full_disk(command: list[str], rng: Random, folder: Path) -> str:
    """No file can get larger than this."""
    import resource

    most = rng.choice((0, 1, 100, 300, 1000, 5000, 30_000, 1_000_000, 3_000_000))
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    return run(command, preexec_fn=limit)


def _closed(command: list[str], rng: Random, folder: Path) -> str:
    """Something may not be read, or not be written."""
    closed = rng.choice([
        folder / "out", folder / "photos", folder / "data", folder / "photos" / "000.jpg",
        folder / "data" / "0.png", folder / "data" / "annotations.json",
    ])  # fmt: skip
    mode = rng.choice((0o000, 0o555, 0o444))
    closed.chmod(mode)
    home = {"HOME": "/nonexistent", "MPLCONFIGDIR": "/nonexistent"}
    outcome = run(command, preexec_fn=_without_privileges, env=home)
    if closed.name == "out" and mode != 0o000:
        expect(outcome == REFUSED, f"{command[0]} has written to a folder that is closed")
    return outcome


def _without_privileges() -> None:
    """Root may read and write everything; as Linux has it, without these three it may not."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    for capability in (1, 2, 3) if prctl and os.getuid() == 0 else ():
        prctl(24, capability, 0, 0, 0)


def _jumping_clock(command: list[str], rng: Random, folder: Path) -> str:
    """Files of another age, and a clock that goes anywhere."""
    for file in (*(folder / "photos").iterdir(), *(folder / "data").iterdir()):
        with suppress(OSError):
            os.utime(file, (rng.choice((0, -(10**9), 10**10)),) * 2)
    (folder / "clock").mkdir(exist_ok=True)
    (folder / "clock" / "sitecustomize.py").write_text(
        "import random, time\n"
        "now = time.time\n"
        "time.time = lambda: now() + random.uniform(-1e9, 1e9)\n"
    )
    outcome = run(command, env={"PYTHONPATH": str(folder / "clock")})
    expect(outcome == RIGHT, f"{command[0]} minds the clock")
    return outcome


def _open(folder: Path) -> None:
    for place in (folder / "out", folder / "photos", folder / "data"):
        if place.exists():
            place.chmod(0o777)
            for file in place.iterdir():
                with suppress(OSError):
                    file.chmod(0o777 if file.is_dir() else 0o666)
