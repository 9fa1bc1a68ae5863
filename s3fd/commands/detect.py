"""``s3fd detect``: photos in; a table, pictures with boxes, and JSON out."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from rich.console import Console
from rich.table import Table
from rich.text import Text

from s3fd.commands.files import ResultNames
from s3fd.commands.options import DetectorOptions, Model, Share, UsageError, option
from s3fd.commands.outputs import (
    Folder,
    JsonFile,
    check_json_file,
    error_console,
    progress_bar,
    write_line,
)
from s3fd.defaults import IOU_THRESHOLD, SCORE_THRESHOLD
from s3fd.files import whole_file, why_not_writable
from s3fd.photos import Photo, find_photos

if TYPE_CHECKING:
    from PIL import Image

    from s3fd.commands.options import Finder
    from s3fd.detections import Detections
    from s3fd.images import UInt8Array


def detect(
    *photos: Annotated[str, option(name="PHOTO", required=True)],
    out: Folder = None,
    json_file: JsonFile = None,
    model: Model = "light",
    threshold: Share = SCORE_THRESHOLD,
    iou_threshold: Share = IOU_THRESHOLD,
    options: DetectorOptions = DetectorOptions(),
) -> int:
    """Find the faces of photos.

    Prints a table. Exit code 1: a photo can't be read or a result not written (the others are
    done); 2: a wrong argument.

    Args:
        photos: Photos, folders (all photos in and below them), and globs.
        out: Write copies of the photos with boxes here: group.jpg gives group-faces.jpg.
        json_file: Write JSON Lines, one object a photo; - for the standard output.
        threshold: Leave out faces with a smaller score.
        iou_threshold: Of two faces that overlap more, keep the better.
    """
    found = find_photos(photos, without=out)
    _check_results(out, json_file, found.photos)
    find: Finder | None = None
    if found.photos:
        find = options.finder(
            options.detector(model), score_threshold=threshold, iou_threshold=iou_threshold
        )
    with _json_lines(json_file) as write_json:
        report = _Report(None if out is None else ResultNames(out, found.photos), write_json)
        for note in found.notes:
            report.note(note)
        for what, why in found.problems:
            report.fail(what, why)
        if find is not None:
            _detect_all(found.photos, find, options.batch_size, report)
    if json_file != "-":
        report.print_table()
    return 1 if report.failures else 0


def _check_results(out: Path | None, json_file: str | None, photos: Sequence[Photo]) -> None:
    """Finds what would keep results from being written before any work is done."""
    if out is not None and (why_not := why_not_writable(out)):
        raise UsageError("--out", why_not)
    check_json_file(json_file, (photo.path for photo in photos))


class _Report:
    """What becomes of the photos, written as it comes.

    Args:
        names: names for the pictures with boxes; None for no pictures.
        write_json: takes one line of JSON.
    """

    def __init__(self, names: ResultNames | None, write_json: Callable[[str], None]) -> None:
        self.console = error_console()
        self.failures = 0
        self._names = names
        self._write_json = write_json
        self._found: list[tuple[Photo, Detections, Path | None]] = []

    def note(self, text: str) -> None:
        """Something that keeps nothing from being done."""
        self.console.print(Text.assemble(("note: ", "bold yellow"), text), soft_wrap=True)

    def fail(self, what: str, why: str) -> None:
        """Something that was asked for can't be done."""
        self.failures += 1
        self.console.print(Text.assemble(("error: ", "bold red"), f"{what}: {why}"), soft_wrap=True)
        self._write_json(json.dumps({"photo": what, "error": why}))

    def add(self, photo: Photo, pixels: UInt8Array, detections: Detections) -> None:
        """A photo that was read, and its faces."""
        drawn: Path | None = None
        if self._names is not None:
            drawn = self._names.name(photo, detections.image_size)
            try:
                _save(detections.draw(pixels), drawn)
            except OSError as error:
                self.fail(str(photo.path), f"{drawn} can't be written ({error.strerror or error})")
                return
        record = {"photo": str(photo.path), **detections.to_dict()}
        self._write_json(json.dumps(record | ({} if drawn is None else {"drawn": str(drawn)})))
        self._found.append((photo, detections, drawn))

    def print_table(self) -> None:
        """Prints the faces of one photo, or a line for each of several photos."""
        if not self._found:
            return
        console = Console(highlight=False)
        single = len(self._found) == 1
        faces = sum(len(detections) for _, detections, _ in self._found)
        if not single:
            console.print(_photos_table(self._found))
        elif faces:
            console.print(_faces_table(*self._found[0][:2]))
        summary = f"{_count(faces, 'face')} in {_count(len(self._found), 'photo')}"
        if self.failures:
            summary += f", {_count(self.failures, 'error')}"
        console.print(summary)
        if drawn := [path for _, _, path in self._found if path is not None]:
            where = f"{len(drawn)} pictures in {os.path.commonpath([p.parent for p in drawn])}"
            console.print(Text(f"Drawn: {drawn[0] if single else where}"), soft_wrap=True)


def _detect_all(photos: Sequence[Photo], find: Finder, batch_size: int, report: _Report) -> None:
    """Reads a batch of photos in parallel, finds their faces, and reports in their order."""
    # Pillow's warnings are about files that it reads nevertheless.
    warnings.filterwarnings("ignore", module="PIL")
    progress = progress_bar("photos", console=report.console, shown=len(photos) >= 4)
    with progress, ThreadPoolExecutor(max_workers=min(batch_size, os.cpu_count() or 1)) as pool:
        task = progress.add_task("", total=len(photos))
        for start in range(0, len(photos), batch_size):
            batch = photos[start : start + batch_size]
            pictures = list(pool.map(_read, batch))
            found = iter(find([p for p in pictures if not isinstance(p, str)]))
            for photo, picture in zip(batch, pictures, strict=True):
                if isinstance(picture, str):
                    report.fail(str(photo.path), picture)
                else:
                    report.add(photo, picture, next(found))
                progress.advance(task)


def _read(photo: Photo) -> UInt8Array | str:
    """The pixels of a photo, or why it can't be read."""
    from s3fd.images import ImageError, read_image

    try:
        return read_image(photo.path)
    except (FileNotFoundError, ImageError) as error:
        return str(error).removeprefix(f"{photo.path}: ")


def _save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        if path.suffix == ".jpg":
            picture.save(file, "JPEG", quality=92)
        else:
            picture.save(file, "PNG")


@contextmanager
def _json_lines(json_file: str | None) -> Iterator[Callable[[str], None]]:
    """Takes the lines of the JSON file, of the standard output (``-``), or of nothing (None)."""
    if json_file is None:
        yield lambda line: None
    elif json_file == "-":
        yield write_line
    else:
        with whole_file(Path(json_file)) as file:
            yield lambda line: _write_line(file, line)


def _write_line(file: IO[bytes], line: str) -> None:
    file.write(line.encode() + b"\n")


def _faces_table(photo: Photo, detections: Detections) -> Table:
    height, width = detections.image_size
    table = Table(title=Text(f"{photo.path}, {width} x {height}"), title_justify="left")
    for column in ("", "x1", "y1", "x2", "y2", "score"):
        table.add_column(column, justify="right")
    for number, (box, score) in enumerate(detections, start=1):
        table.add_row(str(number), *(f"{x:.1f}" for x in box), f"{score:.3f}")
    return table


def _photos_table(found: Sequence[tuple[Photo, Detections, Path | None]]) -> Table:
    table = Table()
    table.add_column("photo", overflow="fold")
    for column in ("width", "height", "faces", "best score"):
        table.add_column(column, justify="right", no_wrap=True)
    for photo, detections, _ in found:
        height, width = detections.image_size
        best = f"{detections[0].score:.3f}" if len(detections) else ""
        table.add_row(Text(str(photo.path)), str(width), str(height), str(len(detections)), best)
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
