"""What ``s3fd detect`` says and writes about photos and videos, as their faces are found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from s3fd.commands.files import ResultNames
from s3fd.commands.json_lines import JsonLines
from s3fd.commands.outputs import error_console, say
from s3fd.photos import Photo

if TYPE_CHECKING:
    from s3fd.detections import Detections
    from s3fd.images import UInt8Array

_MOST_ROWS = 10_000  # of the table


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


@dataclass
class _Totals:
    """What many rows come to.

    Attributes:
        photos: that were done.
        videos: that were done.
        frames: of these.
        faces: of all.
        drawn: copies with boxes.
        folder: that all copies are in or below.
    """

    photos: int = 0
    videos: int = 0
    frames: int = 0
    faces: int = 0
    drawn: int = 0
    folder: str = ""

    def add(self, rows: Iterable[_Row]) -> _Totals:
        """Counts rows that are done."""
        for row in rows:
            self.photos += not row.frames
            self.videos += row.frames > 0
            self.frames += row.frames
            self.faces += row.count
            if row.drawn is not None:
                self.drawn += 1
                self.folder = os.path.commonpath(
                    [self.folder or row.drawn.parent, row.drawn.parent]
                )
        return self

    def __str__(self) -> str:
        parts = []
        if self.photos or not self.videos:
            parts.append(_count(self.photos, "photo"))
        if self.videos:
            parts.append(f"{_count(self.videos, 'video')} of {_count(self.frames, 'frame')}")
        return f"{_count(self.faces, 'face')} in {' and '.join(parts)}"


class DetectReport:
    """What becomes of the photos and videos, written as it comes; a context.

    Attributes:
        console: the standard error.
        failures: how much could not be done, in earlier runs too.

    Args:
        names: names for the copies with boxes; None for no copies.
        lines: takes the lines of JSON.
    """

    def __init__(self, names: ResultNames | None, lines: JsonLines) -> None:
        self.console = error_console()
        self.failures = lines.failures
        self._names = names
        self._lines = lines
        self._rows: list[_Row] = []  # the newest
        self._earlier = _Totals()  # of the rows before these
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
        say("note", text, self.console)

    def fail(self, what: str, why: str, *, try_again: bool = False) -> None:
        """Something that was asked for can't be done.

        Args:
            what: a photo, a video, or what was given in place of one.
            why: it can't.
            try_again: whether ``--resume`` does it once more: then it gets no line.
        """
        if self._write_frame is not None and what != str(self._rows[-1].photo.path):
            self._end_video()  # --resume takes what stands before another line for done
        say("error", f"{what}: {why}", self.console)
        if what not in self._lines:
            self.failures += 1
            if not try_again:
                self._lines.write(json.dumps({"photo": what, "error": why}))

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
                self._cannot_write(row, error, try_again=True)
                return
        row.add(faces)
        self._begin(row)
        self._write_record({"photo": str(photo.path)}, row)

    def _add_frame(
        self, video: Photo, faces: Detections, number: int, seconds: float | None
    ) -> None:
        if not self._rows or self._rows[-1].photo is not video:
            self._end_video()
            self._begin(_Row(video, faces))
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

    def _begin(self, row: _Row) -> None:
        if len(self._rows) == _MOST_ROWS:
            self._earlier.add(self._rows)
            self._rows.clear()
        self._rows.append(row)

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
        """Leaves no half of a copy behind; what else fails in it then says nothing new."""
        self._write_frame = None
        with suppress(type(error), OSError, ValueError):
            self._copy.__exit__(type(error), error, error.__traceback__)

    def _cannot_write(self, row: _Row, error: Exception, *, try_again: bool = False) -> None:
        text = str(error)
        if not text.startswith(f"{row.drawn}: "):
            why = getattr(error, "strerror", None) or text
            text = f"{row.drawn} can't be written ({why})"
        self.fail(str(row.photo.path), text, try_again=try_again)
        row.drawn = None

    def _write_record(self, place: dict[str, Any], row: _Row) -> None:
        drawn = {} if row.drawn is None else {"drawn": str(row.drawn)}
        self._lines.write(json.dumps(place | row.faces.to_dict() | drawn))

    def print_table(self) -> None:
        """Prints the faces of one photo, or a line for each of several photos and videos.

        Of many thousands it only says what they come to.
        """
        if not self._rows and not self._lines.photos:
            return
        console = Console(highlight=False)
        listed = not self._earlier.photos and not self._earlier.videos
        single = self._rows[0] if listed and len(self._rows) == 1 else None
        if single is not None and not single.frames:
            if single.count:
                console.print(_faces_table(single.photo, single.faces))
        elif listed and self._rows:
            console.print(_photos_table(self._rows))
        totals = self._earlier.add(self._rows)
        summary = str(totals)
        if self._lines.photos:
            summary += f", {self._lines.photos} done before"
        if self.failures:
            summary += f", {_count(self.failures, 'error')}"
        console.print(summary)
        if totals.drawn:
            where = single.drawn if single else f"{totals.drawn} copies in {totals.folder}"
            console.print(Text(f"Drawn: {where}"), soft_wrap=True)


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
