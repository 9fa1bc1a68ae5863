"""Kills at random moments: a run ends as if there had been none, and no file is a half one."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from random import Random

import numpy as np
import torch
from commands import make_data, make_photos, run, start, train_arguments, whole_files
from judge import RIGHT, expect, patient

CASES, QUICK = 100, 4
SECONDS = 1200
_KILLS = 2  # of each case


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    photos, data = folder / "photos", folder / "data"
    if not photos.exists():
        make_photos(photos, 40)
        make_data(data)
    whole, out = folder / "whole", folder / "out"
    kinds = [_Detection(photos), _Training(data), _Evaluation(data)]
    if find_spec("ray"):
        kinds.append(_DetectionOnRay(photos))
    seconds: dict[int, float] = {}

    def case(index: int) -> str:
        rng, number = Random(f"{seed} {index}"), index % len(kinds)
        kind, place = kinds[number], whole / str(number)
        if number not in seconds:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            began = time.monotonic()
            expect(run(kind.arguments(place)) == RIGHT, f"{type(kind).__name__} fails undisturbed")
            seconds[number] = time.monotonic() - began
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for _ in range(_KILLS):
            process = start(kind.arguments(out))
            kind.disturb(process, seconds[number], rng)
            process.communicate()
            whole_files(out)
            kind.check_part(out)
        expect(run(kind.arguments(out)) == RIGHT, f"{type(kind).__name__} can't go on")
        whole_files(out)
        kind.check(out, place)
        return RIGHT

    return case


class _Killed:
    """A command that is killed itself."""

    def disturb(self, process: subprocess.Popen[bytes], seconds: float, rng: Random) -> None:
        """Kills it at a random moment of the seconds that it takes, if it is not done by then."""
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.random() * seconds)
        process.kill()


class _Detection(_Killed):
    def __init__(self, photos: Path) -> None:
        self._photos = photos

    def arguments(self, out: Path) -> list[str]:
        return ["detect", str(self._photos), "--json", str(out / "faces.jsonl"), "--resume",
                "--out", str(out / "drawn")]  # fmt: skip

    def check_part(self, out: Path) -> None:
        """Each line but the last is whole."""
        file = out / "faces.jsonl"
        for line in file.read_bytes().split(b"\n")[:-1] if file.exists() else []:
            json.loads(line)

    def check(self, out: Path, whole: Path) -> None:
        ours, theirs = (_records(place / "faces.jsonl") for place in (out, whole))
        expect(
            [r["photo"] for r in ours] == [r["photo"] for r in theirs], "photos are lost, or twice"
        )
        for a, b in zip(ours, theirs, strict=True):
            expect(len(a["faces"]) == len(b["faces"]), "other faces than without a kill")


class _DetectionOnRay(_Killed):
    """On a cluster of its own, of as many workers as there are processors."""

    def __init__(self, photos: Path) -> None:
        self._photos = photos
        os.environ |= {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "200000000",
                       "RAY_USAGE_STATS_ENABLED": "0"}  # fmt: skip

    def arguments(self, out: Path) -> list[str]:
        return ["detect", str(self._photos), "--ray", "--out", str(out / "results"),
                "--shard-size", "3"]  # fmt: skip

    def disturb(self, process: subprocess.Popen[bytes], seconds: float, rng: Random) -> None:
        """Kills a worker as soon as there are any, or later; and perhaps the command after it."""
        while process.poll() is None and not _workers(process.pid):
            time.sleep(0.1)
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.random() * seconds / 4)
        workers = _workers(process.pid)
        if workers:
            with suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
        if rng.random() < 0.5:
            super().disturb(process, seconds / 2, rng)
        else:
            _, stderr = process.communicate(timeout=patient(600))
            expect(process.returncode == 0, f"a worker's end is the command's: {stderr[-200:]!r}")

    def check_part(self, out: Path) -> None:
        """`whole_files` has read whatever is there."""

    def check(self, out: Path, whole: Path) -> None:
        ours, theirs = (_rows(place / "results") for place in (out, whole))
        paths = sorted(map(str, self._photos.iterdir()))
        expect([row["path"] for row in ours] == paths, "photos are lost, or twice")
        for a, b in zip(ours, theirs, strict=True):
            expect(
                len(a["boxes"]) == len(b["boxes"]) and np.allclose(a["boxes"], b["boxes"]),
                "other faces than without a kill",
            )


def _rows(folder: Path) -> list[dict]:
    import pyarrow.parquet as parquet

    rows = (
        row for file in folder.glob("*.parquet") for row in parquet.read_table(file).to_pylist()
    )
    return sorted(rows, key=lambda row: row["path"])


def _workers(process: int) -> list[int]:
    """The workers of Ray below a process."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])

    def is_below(pid: int) -> bool:
        while pid in parents and pid != process:
            pid = parents[pid]
        return pid == process

    return [pid for pid in parents if is_below(pid) and _works(pid)]


def _works(pid: int) -> bool:
    """Whether it is a worker, and none of the agents of a node, whose end is that of the node."""
    title = b""
    with suppress(OSError):
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    return title.startswith(b"ray::") and b"Agent" not in title


def _records(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class _Training(_Killed):
    def __init__(self, data: Path) -> None:
        self._data = data

    def arguments(self, out: Path) -> list[str]:
        return train_arguments(self._data, out / "run")

    def check_part(self, out: Path) -> None:
        """`whole_files` has loaded whatever is there."""

    def check(self, out: Path, whole: Path) -> None:
        from s3fd.models import load_checkpoint

        ours, theirs = (load_checkpoint(place / "run" / "model.safetensors").state_dict()
                        for place in (out, whole))  # fmt: skip
        expect(all(torch.equal(ours[name], theirs[name]) for name in theirs), "other weights")
        names = [{file.name for file in (place / "run").iterdir()} for place in (out, whole)]
        expect(names[0] == names[1], f"other files: {names[0] ^ names[1]}")


class _Evaluation(_Killed):
    def __init__(self, data: Path) -> None:
        self._data = data

    def arguments(self, out: Path) -> list[str]:
        return ["evaluate", "annotations", "--data", str(self._data), "--split", "train",
                "--json", str(out / "figures.json"), "--plot", str(out / "curve.png")]  # fmt: skip

    def check_part(self, out: Path) -> None:
        """`whole_files` has read whatever is there."""

    def check(self, out: Path, whole: Path) -> None:
        ours, theirs = (json.loads((place / "figures.json").read_text()) for place in (out, whole))
        expect(ours.keys() == theirs.keys(), "other figures")
