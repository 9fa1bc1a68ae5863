"""The shards of ``s3fd detect --ray``: what each holds, and the file that is made of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from s3fd.files import remove_unfinished, whole_file

_TOGETHER = 64  # photos that an actor holds at a time


@dataclass(frozen=True)
class Shard:
    """A part of the photos, the results of which become one file.

    Attributes:
        number: from 0.
        paths: of photos; or the one of a Parquet file with a row a photo.
        group: of rows in the Parquet file; None for photos.
    """

    number: int
    paths: tuple[str, ...]
    group: int | None = None

    def file(self, settings: Mapping[str, Any]) -> str:
        """Its name, which tells other photos and other settings apart."""
        about = json.dumps([asdict(self), dict(settings)], sort_keys=True, default=str)
        return f"{self.stem}{hashlib.sha256(about.encode()).hexdigest()[:16]}.parquet"

    @property
    def stem(self) -> str:
        """How its file begins, whatever it holds."""
        return f"part-{self.number:06}-"


def photo_shards(paths: Iterable[Path], size: int) -> Iterator[Shard]:
    """Shards of so many photos, in their order."""
    rest, number = iter(paths), 0
    while some := tuple(str(path.absolute()) for path in islice(rest, size)):
        yield Shard(number, some)
        number += 1


def parquet_shards(files: Sequence[Path]) -> Iterator[Shard]:
    """A shard for each group of rows that has any."""
    import pyarrow.parquet as parquet

    from s3fd.ray import check_columns

    number = 0
    for file in files:
        try:
            opened = parquet.ParquetFile(file)
        except (OSError, ValueError) as error:
            raise ValueError(f"{file}: no Parquet file ({error})") from None
        check_columns(opened.schema_arrow.names, str(file))  # before a cluster is asked
        about = opened.metadata
        for group in range(about.num_row_groups):
            if about.row_group(group).num_rows:
                yield Shard(number, (str(file.absolute()),), group)
                number += 1


class FindInShards:
    """Makes the files of shards, in an actor of Ray.

    A file appears when it is whole: an actor that dies leaves none, and another one makes it.

    Args:
        folder: where files go.
        naming: settings that are part of their names.
        detector: arguments of `s3fd.ray.DetectFaces`.
    """

    def __init__(self, folder: str, naming: Mapping[str, Any], detector: Mapping[str, Any]) -> None:
        from s3fd.ray import DetectFaces

        self._folder = Path(folder)
        self._naming = naming
        self._find = DetectFaces(**detector)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Takes shards as JSON, and says of each what was found, or why it could not be made.

        Said, not raised: Ray would end all of the work, and show its own frames instead of why.
        """
        from s3fd.images.errors import reason

        rows: dict[str, list[Any]] = {"photos": [], "faces": [], "errors": [], "failure": []}
        for text in batch["shard"]:
            values = json.loads(text)
            shard = Shard(values["number"], tuple(values["paths"]), values["group"])
            counts, failure = (0, 0, 0), ""
            try:
                counts = self._make(shard)
            except Exception as error:
                failure = f"{shard.file(self._naming)}: {reason(error)}"
            for name, value in zip(rows, (*counts, failure), strict=True):
                rows[name].append(value)
        return rows

    def _make(self, shard: Shard) -> tuple[int, int, int]:
        import pyarrow.parquet as parquet

        photos = faces = errors = 0
        path = self._folder / shard.file(self._naming)
        remove_unfinished(path)  # of an actor that died
        with whole_file(path) as file:
            writer = None
            for batch in _batches(shard):
                found = self._find(batch)
                if writer is None:
                    writer = parquet.ParquetWriter(file, found.schema)
                writer.write_table(found)
                photos += found.num_rows
                faces += sum(map(len, found["scores"].to_pylist()))
                errors += found.num_rows - found["error"].null_count
            if writer is not None:
                writer.close()
        return photos, faces, errors


def _batches(shard: Shard) -> Iterator[dict[str, Any]]:
    """The rows of a shard, some at a time; of a Parquet file in the types that it has."""
    if shard.group is None:
        for start in range(0, len(shard.paths), _TOGETHER):
            yield {"path": list(shard.paths[start : start + _TOGETHER])}
        return
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(shard.paths[0])
    for batch in file.iter_batches(_TOGETHER, row_groups=[shard.group]):
        yield dict(zip(batch.schema.names, batch.columns, strict=True))
