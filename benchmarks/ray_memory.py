"""Measures the memory of ``s3fd detect --ray`` on two workers, for some photos and twice as many.

    python benchmarks/ray_memory.py [--photos N] [--json FILE]

The bundled photo in sizes of 320 to 640 pixels, in as many files. Peaks of resident memory, looked
at five times a second: of the command, of the larger worker, and of all processes of its cluster
together, where what they share is counted once for each. Linux.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file. At the end of the path, so that an installed s3fd is found before the source.
    sys.path.append(str(Path(__file__).resolve().parents[1]))

from benchmarks._outputs import write_json
from benchmarks.ray_overhead import made_up_photos, parsed

_DISTINCT = 6  # sizes of photos
_COMMAND = """
import sys
import ray
from s3fd.__main__ import main

ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, object_store_memory=200_000_000,
         log_to_driver=False)
sys.exit(main())
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser, options = parsed("ray_memory", __doc__, arguments, photos=2000)
    if not Path("/proc/self/status").exists():
        parser.error("reads /proc, which Linux has")
    figures = {}
    for photos in (options.photos, 2 * options.photos):
        with tempfile.TemporaryDirectory() as folder:
            figures[str(photos)] = peaks = measure(Path(folder), photos)
        told = ", ".join(f"{name} {mebibytes} MiB" for name, mebibytes in peaks.items())
        print(f"{photos} photos: {told}", flush=True)
    if options.json is not None:
        write_json(options.json, figures)
    return 0


def measure(folder: Path, count: int) -> dict[str, int]:
    """Peaks in MiB of a run on so many photos, by what they are of.

    Raises:
        RuntimeError: the run failed, or it has lost a photo.
    """
    photos = folder / "photos"
    photos.mkdir()
    distinct = [Path(path) for path in made_up_photos(photos, min(count, _DISTINCT))]
    contents = [path.read_bytes() for path in distinct]
    for number in range(len(distinct), count):
        (photos / f"{number:06}.jpg").write_bytes(contents[number % len(contents)])
    command = [sys.executable, "-c", _COMMAND, "detect", str(photos), "--ray"]
    command += ["--out", str(folder / "results"), "--device", "cpu", "--shard-size", "250"]
    with (folder / "said").open("w+") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        peaks = {"command": 0, "worker": 0, "together": 0}
        while process.poll() is None:
            for name, now in _resident(process.pid).items():
                peaks[name] = max(peaks[name], now)
            time.sleep(0.2)
        said.seek(0)
        text = said.read()
    if process.returncode or f"faces in {count} photos" not in text:
        raise RuntimeError(f"the run on {count} photos failed: {text[-2000:]}")
    return peaks


def _resident(command: int) -> dict[str, int]:
    """What the command and the processes below it hold now, in MiB."""
    now = {"command": 0, "worker": 0, "together": 0}
    for process, title, mebibytes in _below(command):
        now["together"] += mebibytes
        if process == command:
            now["command"] = mebibytes
        elif title.startswith("ray::") and "FindInShards" in title:
            now["worker"] = max(now["worker"], mebibytes)
    return now


def _below(command: int) -> Iterator[tuple[int, str, int]]:
    """A process and all below it: number, title, MiB."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, KeyError):  # it has ended
            lines = (folder / "status").read_text(errors="replace").splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mebibytes = int(fields["VmRSS"].split()[0]) // 1024
            found[int(folder.name)] = (int(fields["PPid"]), title, mebibytes)
    for process, (_, title, mebibytes) in found.items():
        above = process
        while above in found and above != command:
            above = found[above][0]
        if above == command:
            yield process, title, mebibytes


if __name__ == "__main__":
    sys.exit(main())
