"""Runs of the command line in processes of their own, and what each has to leave behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from judge import REFUSED, RIGHT, Fault, expect, patient
from PIL import Image

ASSET = Path(__file__).parents[2] / "s3fd" / "assets" / "astronaut.jpg"


def make_photos(folder: Path, count: int) -> Path:
    """A folder of small photos with a face, no two alike."""
    folder.mkdir()
    with Image.open(ASSET) as face:
        for number in range(count):
            face.resize((96 + number, 96 + number)).save(folder / f"{number:03}.jpg")
    return folder


def make_data(folder: Path) -> Path:
    """Photos of noise with bright squares, and their labels."""
    folder.mkdir()
    rng, entries = np.random.default_rng(0), []
    for number in range(8):
        pixels = rng.integers(0, 120, (96, 96, 3), np.uint8)
        x, y, side = (int(n) for n in (*rng.integers(0, 50, 2), rng.integers(20, 40)))
        pixels[y : y + side, x : x + side] = (250, 220, 200)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        entry = {"image": f"{number}.png", "width": 96, "height": 96}
        entry |= {"boxes": [[x, y, x + side, y + side]], "split": "train" if number < 6 else "val"}
        entries.append(entry)
    (folder / "annotations.json").write_text(json.dumps({"images": entries}))
    return folder


def train_arguments(data: Path, out: Path, *more: str) -> list[str]:
    """A run of six steps and three checkpoints; it goes on if there is something to go on with."""
    settings = {"data": data, "out": out, "steps": 6, "batch-size": 2, "input-size": 64}
    settings |= {"workers": 0, "warmup": 1, "checkpoint-every": 2, "validate-every": 6}
    settings |= {"precision": "float32", "device": "cpu"}
    resume = ["--resume"] if (out / "last.pt").exists() else []
    flags = [text for name, value in settings.items() for text in (f"--{name}", str(value))]
    return ["train", *flags, *resume, *more]


def start(arguments: list[str], **options) -> subprocess.Popen[bytes]:
    """Begins ``s3fd`` with these arguments."""
    command = [sys.executable, "-m", "s3fd", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


def run(arguments: list[str], limit: float = 240, **options) -> str:
    """Runs it to its end, which has to be success, or a line for each thing that was refused.

    Raises:
        Fault: it ended otherwise.
    """
    process = start(arguments, **options)
    try:
        _, stderr = process.communicate(timeout=patient(limit))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Fault(f"{arguments[0]} hung") from None
    return judged(arguments[0], process.returncode, stderr.decode(errors="replace"))


def judged(command: str, code: int, stderr: str) -> str:
    """What a run came to, by its exit code and what it said."""
    expect("Traceback" not in stderr, f"{command}: a traceback: {stderr.strip()[-200:]}")
    expect(code in (0, 1, 2), f"{command}: exit code {code}: {stderr.strip()[-200:]}")
    if code == 0:
        return RIGHT
    lines = [line for line in stderr.splitlines() if line.startswith("error: ")]
    expect(lines, f"{command}: exit code {code} without an error: {stderr.strip()[-200:]}")
    expect(all(len(line) < 1500 for line in lines), f"{command}: a line of {len(lines[0])} letters")
    return REFUSED


def whole_files(folder: Path) -> None:
    """Checks that each file which has its own name can be read to its end.

    Raises:
        Fault: one can't.
    """
    for file in (path for path in folder.rglob("*") if path.is_file()):
        read = _READERS.get(file.suffix)
        if read is None or file.name.startswith("."):
            continue
        try:
            read(file)
        except Exception as error:
            raise Fault(f"a {file.suffix} is half written ({type(error).__name__})") from error


def _load_image(file: Path) -> None:
    with Image.open(file) as image:
        image.load()


def _load_state(file: Path) -> None:
    from s3fd.models.weights_file import read_plain

    read_plain(file)


def _load_weights(file: Path) -> None:
    from s3fd.models import load_checkpoint

    load_checkpoint(file)


def _load_table(file: Path) -> None:
    import pyarrow.parquet as parquet

    parquet.read_table(file)


_READERS: dict[str, Callable[[Path], object]] = {
    ".json": lambda file: json.loads(file.read_text()),
    ".png": _load_image, ".jpg": _load_image, ".pt": _load_state, ".safetensors": _load_weights,
    ".parquet": _load_table,
}  # fmt: skip
