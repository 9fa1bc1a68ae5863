"""Kills at random moments: a run ends as if there had been none, and no file is a half one."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
from commands import make_data, make_photos, run, start, train_arguments, whole_files
from judge import RIGHT, expect

CASES, QUICK = 100, 4
SECONDS = 1200
_KILLS = 2  # of each case


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    photos, data = folder / "photos", folder / "data"
    if not photos.exists():
        make_photos(photos, 40)
        make_data(data)
    whole, out = folder / "whole", folder / "out"
    kinds = (_Detection(photos), _Training(data), _Evaluation(data))
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
            try:
                process.wait(rng.random() * seconds[number])
            except subprocess.TimeoutExpired:
                process.kill()
            process.communicate()
            whole_files(out)
            kind.check_part(out)
        expect(run(kind.arguments(out)) == RIGHT, f"{type(kind).__name__} can't go on")
        whole_files(out)
        kind.check(out, place)
        return RIGHT

    return case


class _Detection:
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


def _records(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


class _Training:
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


class _Evaluation:
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
