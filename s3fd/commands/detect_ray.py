"""``s3fd detect --ray``: shards of photos go to a cluster, and their results become Parquet."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.console import Console

from s3fd.commands.options import UsageError
from s3fd.commands.outputs import say
from s3fd.commands.ray_shards import FindInShards, Shard, parquet_shards, photo_shards
from s3fd.files import why_not_writable
from s3fd.photos import Note, Photo, PhotoSearch

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 5.0  # seconds


def detect_on_ray(
    arguments: Sequence[str],
    out: Path,
    address: str | bool,
    shard_size: int,
    detector: dict[str, Any],
) -> int:
    """Finds the faces of photos, or of the rows of Parquet files, on a Ray cluster.

    Args:
        arguments: photos, folders and globs, or Parquet files and folders of these.
        out: a folder for the results, on a disk that all machines share.
        address: of the cluster; True for the one that Ray finds, or one on this machine.
        shard_size: photos of a file.
        detector: arguments of `s3fd.ray.DetectFaces`.

    Returns:
        The exit code.

    Raises:
        UsageError: an argument can't be followed, or there is no such cluster.
    """
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise UsageError("--ray", "needs Ray Data: pip install 's3fd[ray]'") from None
    if isinstance(address, str) and (why_not := _why_no_cluster(address)):
        raise UsageError("--ray", why_not)
    if why_not := why_not_writable(out):
        raise UsageError("--out", why_not)
    out.mkdir(parents=True, exist_ok=True)
    problems = _Problems()
    files = _parquet_files(arguments)
    try:
        shards = list(
            parquet_shards(files)
            if files
            else photo_shards(problems.photos(arguments, out), shard_size)
        )
    except ValueError as error:
        raise UsageError("PHOTO", str(error)) from None
    settings = {**detector, "weights": _digest(detector["model"])}
    to_do = _not_done(shards, out, settings)
    counts = _run(to_do, out, address, detector, settings, problems) if to_do else {}
    _say(counts, shards=len(shards), done=len(shards) - len(to_do), out=out)
    return 1 if problems.count or counts.get("errors") else 0


def everywhere(model: str) -> str:
    """The name of bundled weights, or the path of a file from anywhere."""
    from s3fd.models.checkpoint import pretrained_path, weights_path

    path = weights_path(model)
    return model if path.parent == pretrained_path("light").parent else str(path.absolute())


class _Problems:
    """Says what can't be done, and counts it."""

    def __init__(self) -> None:
        self.count = 0

    def photos(self, arguments: Sequence[str], out: Path) -> Iterator[Path]:
        """The photos that are meant."""
        for found in PhotoSearch(arguments, without=out):
            if isinstance(found, Photo):
                yield found.path
            elif isinstance(found, Note):
                say("note", found.text)
            else:
                self.say(f"{found.what}: {found.why}")

    def say(self, text: str) -> None:
        """One more."""
        self.count += 1
        say("error", text)


def _parquet_files(arguments: Sequence[str]) -> list[Path]:
    """The Parquet files that are meant; none where photos are."""
    found = [
        [path] if path.suffix == ".parquet" else sorted(path.glob("*.parquet"))
        for path in map(Path, arguments)
    ]
    if any(found) and not all(found):
        raise UsageError("PHOTO", "expected photos or Parquet files, got some of both")
    return [file for files in found for file in files]


def _not_done(shards: Sequence[Shard], out: Path, settings: dict[str, Any]) -> list[Shard]:
    there = {path.name for path in out.glob("part-*.parquet")}
    expected = {shard.file(settings): shard for shard in shards}
    if others := sorted(there - expected.keys()):
        raise UsageError(
            "--out",
            f"{out / others[0]} is of other photos, options or shards; take another folder, "
            "or what was given before",
        )
    return [shard for name, shard in expected.items() if name not in there]


def _why_no_cluster(address: str) -> str | None:
    """Why nothing can be reached there; None if something answers, or Ray itself has to look.

    Ray would go on asking for minutes.
    """
    place = urlsplit(f"//{address.removeprefix('ray://')}")
    try:
        host, port = place.hostname, place.port
    except ValueError as error:
        return f"expected an address such as HOST:6379, got {address} ({error})"
    if host is None or port is None:  # "auto", "local"
        return None
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as error:
        return (
            f"nothing answers at {address} ({error}); `ray start --head` starts a cluster, and "
            "--ray without an address takes one on this machine"
        )
    return None


def _run(
    shards: Sequence[Shard],
    out: Path,
    address: str | bool,
    detector: dict[str, Any],
    settings: dict[str, Any],
    problems: _Problems,
) -> dict[str, int]:
    """Lets the cluster work, under Ray's own progress, and adds up what it found."""
    import ray

    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=address if isinstance(address, str) else None, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError("--ray", f"no cluster there ({error})") from None
    try:
        resources: dict[str, float] = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if _may_use_gpus(detector) else 0
        actors = min(len(shards), gpus or max(1, int(resources.get("CPU", 1))))
        rows = [{"shard": json.dumps(asdict(shard))} for shard in shards]
        found = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            FindInShards,
            fn_constructor_args=(str(out.absolute()), settings, detector),
            batch_size=1,
            concurrency=actors,
            num_cpus=0 if gpus else 1,
            num_gpus=1 if gpus else 0,
        )
        counts: dict[str, int] = {}
        for row in found.iter_rows():
            if failure := row.pop("failure"):
                problems.say(f"{failure}; mend it, and give the same command again")
            for name, count in row.items():
                counts[name] = counts.get(name, 0) + count
        return counts
    finally:
        if started:
            ray.shutdown()


def _digest(model: str) -> str:
    from s3fd.models.checkpoint import weights_path

    return hashlib.sha256(weights_path(model).read_bytes()).hexdigest()


def _may_use_gpus(detector: dict[str, Any]) -> bool:
    return detector.get("device") in (None, "cuda")


def _say(counts: dict[str, int], *, shards: int, done: int, out: Path) -> None:
    summary = f"{counts.get('faces', 0)} faces in {counts.get('photos', 0)} photos"
    if errors := counts.get("errors"):
        summary += f", {errors} of which can't be read"
    if done:
        summary += f"; {done} of {shards} files were there already"
    Console(highlight=False).print(f"{summary}. Parquet in {out}", markup=False, soft_wrap=True)
