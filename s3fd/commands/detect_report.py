"""What ``s3fd detect`` says and writes about photos and videos, as their faces are found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from s3fd.commands.files import ResultNames
from s3fd.commands.outputs import error_console
from s3fd.photos import Photo

if TYPE_CHECKING:
    from s3fd.detections import Detections
    from s3fd.images import UInt8Array


@dataclass
class _Row:
    """A photo or a video of the table.

    Attributes:
        photo: it.
        faces: of the photo, or of the newest frame.
        drawn: the copy with boxes.
        frames: of a video, so far; 0 for a photo.
        count: of all faces.
        best: score of these.
    """

    photo: Photo
    faces: Detections
    drawn: Path | None = None
    frames: int = 0
    count: int = 0
    best: float = 0.0

    def add(self, faces: Detections) -> None:
        """Counts the faces of the photo, or of another frame, and lets go of its pixels."""
        self.faces = replace(faces, image=None)
        self.frames += faces.source is not None and faces.source.frame is not None
        self.count += len(faces)
        self.best = max([self.best, *faces.scores.tolist()])


class DetectReport:
    """What becomes of the photos and videos, written as it comes; a context.

    Attributes:
        console: the standard error.
        failures: how much could not be done.

    Args:
        names: names for the copies with boxes; None for no copies.
        write_json: takes one line of JSON.
    """

    def __init__(self, names: ResultNames | None, write_json: Callable[[str], None]) -> None:
        self.console = error_console()
        self.failures = 0
        self._names = names
        self._write_json = write_json
        self._rows: list[_Row] = []
        self._copy = ExitStack()  # of the video that is being written
        self._write_frame: Callable[[UInt8Array, float | None], None] | None = None

    def __enter__(self) -> DetectReport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._end_video()
        else:
            self._abandon_video(error)

    @property
    def draws(self) -> bool:
        """Whether copies with boxes are written."""
        return self._names is not None

    def note(self, text: str) -> None:
        """Something that keeps nothing from being done."""
        self.console.print(Text.assemble(("note: ", "bold yellow"), text), soft_wrap=True)

    def fail(self, what: str, why: str) -> None:
        """Something that was asked for can't be done."""
        self.failures += 1
        self.console.print(Text.assemble(("error: ", "bold red"), f"{what}: {why}"), soft_wrap=True)
        self._write_json(json.dumps({"photo": what, "error": why}))

    def add(self, photo: Photo, faces: Detections) -> None:
        """The faces of a photo, or of the next frame of a video."""
        assert faces.source is not None
        if faces.source.frame is None:
            self._end_video()
            self._add_photo(photo, faces)
        else:
            self._add_frame(photo, faces, faces.source.frame, faces.source.time)

    def _add_photo(self, photo: Photo, faces: Detections) -> None:
        row = _Row(photo, faces)
        if self._names is not None:
            row.drawn = self._names.picture(photo, faces.image_size)
            try:
                row.drawn.parent.mkdir(parents=True, exist_ok=True)
                faces.save(row.drawn)
            except OSError as error:
                self._cannot_write(row, error)
                return
        row.add(faces)
        self._rows.append(row)
        self._write_record({"photo": str(photo.path)}, row)

    def _add_frame(
        self, video: Photo, faces: Detections, number: int, seconds: float | None
    ) -> None:
        if not self._rows or self._rows[-1].photo is not video:
            self._end_video()
            self._rows.append(_Row(video, faces))
            self._begin_copy(self._rows[-1])
        row = self._rows[-1]
        if self._write_frame is not None:
            import numpy as np  # here, so that the help does not wait for it

            try:
                self._write_frame(np.asarray(faces.draw()), seconds)
            except (OSError, ValueError) as error:
                self._abandon_video(error)
                self._cannot_write(row, error)
        row.add(faces)
        place = {"video": str(video.path), "frame": number, "time": seconds}
        self._write_record(place, row)

    def _begin_copy(self, row: _Row) -> None:
        from s3fd.images.video_copy import copied_video

        if self._names is None:
            return
        row.drawn = self._names.video(row.photo)
        try:
            row.drawn.parent.mkdir(parents=True, exist_ok=True)
            copy = copied_video(row.photo.path, row.drawn)
            self._write_frame = self._copy.enter_context(copy)
        except (OSError, ValueError) as error:
            self._cannot_write(row, error)

    def _end_video(self) -> None:
        self._write_frame = None
        try:
            self._copy.close()
        except (OSError, ValueError) as error:
            self._cannot_write(self._rows[-1], error)

    def _abandon_video(self, error: BaseException) -> None:
        """Leaves no half of a copy behind."""
        self._write_frame = None
        with suppress(type(error)):
            self._copy.__exit__(type(error), error, error.__traceback__)

    def _cannot_write(self, row: _Row, error: Exception) -> None:
        why = str(getattr(error, "strerror", None) or error).removeprefix(f"{row.drawn}: ")
        self.fail(str(row.photo.path), f"{row.drawn} can't be written ({why})")
        row.drawn = None

    def _write_record(self, place: dict[str, Any], row: _Row) -> None:
        drawn = {} if row.drawn is None else {"drawn": str(row.drawn)}
        self._write_json(json.dumps(place | row.faces.to_dict() | drawn))

    def print_table(self) -> None:
        """Prints the faces of one photo, or a line for each of several photos and videos."""
        if not self._rows:
            return
        console = Console(highlight=False)
        single = len(self._rows) == 1
        count = sum(row.count for row in self._rows)
        if not single or self._rows[0].frames:
            console.print(_photos_table(self._rows))
        elif count:
            console.print(_faces_table(self._rows[0].photo, self._rows[0].faces))
        summary = f"{_count(count, 'face')} in {_what(self._rows)}"
        if self.failures:
            summary += f", {_count(self.failures, 'error')}"
        console.print(summary)
        if drawn := [row.drawn for row in self._rows if row.drawn is not None]:
            where = f"{len(drawn)} copies in {os.path.commonpath([p.parent for p in drawn])}"
            console.print(Text(f"Drawn: {drawn[0] if single else where}"), soft_wrap=True)


def _what(rows: Sequence[_Row]) -> str:
    videos = [row for row in rows if row.frames]
    parts = []
    if len(videos) < len(rows):
        parts.append(_count(len(rows) - len(videos), "photo"))
    if videos:
        frames = _count(sum(row.frames for row in videos), "frame")
        parts.append(f"{_count(len(videos), 'video')} of {frames}")
    return " and ".join(parts)


def _faces_table(photo: Photo, faces: Detections) -> Table:
    height, width = faces.image_size
    table = Table(title=Text(f"{photo.path}, {width} x {height}"), title_justify="left")
    for column in ("", "x1", "y1", "x2", "y2", "score"):
        table.add_column(column, justify="right")
    for number, (box, score) in enumerate(faces, start=1):
        table.add_row(str(number), *(f"{x:.1f}" for x in box), f"{score:.3f}")
    return table


def _photos_table(rows: Sequence[_Row]) -> Table:
    table = Table()
    videos = any(row.frames for row in rows)
    table.add_column("photo or video" if videos else "photo", overflow="fold")
    for column in ("width", "height", *(["frames"] if videos else []), "faces", "best score"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        height, width = row.faces.image_size
        frames = [str(row.frames or "")] if videos else []
        best = f"{row.best:.3f}" if row.count else ""
        name = Text(str(row.photo.path))
        table.add_row(name, str(width), str(height), *frames, str(row.count), best)
    return table


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
