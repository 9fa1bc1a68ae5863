"""``s3fd detect``: photos and videos in; a table, copies with boxes, and JSON out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from s3fd.commands.detect_report import DetectReport
from s3fd.commands.files import ResultNames
from s3fd.commands.options import DetectorOptions, Model, Share, UsageError, option
from s3fd.commands.outputs import Folder, JsonFile, check_json_file, progress_bar, write_line
from s3fd.defaults import IOU_THRESHOLD, SCORE_THRESHOLD
from s3fd.file_kinds import VIDEO_SUFFIXES
from s3fd.files import whole_file, why_not_writable
from s3fd.photos import Photo, find_photos

if TYPE_CHECKING:
    from s3fd.detector import FaceDetector
    from s3fd.images import Source

_FEW = 4  # photos, for which no progress is shown


def detect(
    *photos: Annotated[str, option(name="PHOTO", required=True)],
    out: Folder = None,
    json_file: JsonFile = None,
    model: Model = "light",
    threshold: Share = SCORE_THRESHOLD,
    iou_threshold: Share = IOU_THRESHOLD,
    options: DetectorOptions = DetectorOptions(),
) -> int:
    """Find the faces of photos and videos.

    Prints a table. Exit code 1: a photo can't be read or a result not written (the others are
    done); 2: a wrong argument.

    Args:
        photos: Photos, videos, folders (all photos in and below them), and globs.
        out: Write copies with boxes here: group.jpg gives group-faces.jpg, clip.mp4 clip-faces.mp4.
        json_file: Write JSON Lines, one object a photo or frame; - for the standard output.
        threshold: Leave out faces with a smaller score.
        iou_threshold: Of two faces that overlap more, keep the better.
    """
    found = find_photos(photos, without=out)
    _check_results(out, json_file, found.photos)
    detector = options.detector(model) if found.photos else None
    settings = options.settings(score_threshold=threshold, iou_threshold=iou_threshold)
    interrupted = False
    with _json_lines(json_file) as write_json:
        report = DetectReport(None if out is None else ResultNames(out, found.photos), write_json)
        for note in found.notes:
            report.note(note)
        for what, why in found.problems:
            report.fail(what, why)
        try:
            if detector is not None:
                _detect_all(found.photos, detector, settings, report)
        except KeyboardInterrupt:  # what is done is kept
            interrupted = True
    if json_file != "-":
        report.print_table()
    return 130 if interrupted else 1 if report.failures else 0


def _check_results(out: Path | None, json_file: str | None, photos: Sequence[Photo]) -> None:
    """Finds what would keep results from being written before any work is done."""
    if out is not None and (why_not := why_not_writable(out)):
        raise UsageError("--out", why_not)
    check_json_file(json_file, (photo.path for photo in photos))


def _detect_all(
    photos: Sequence[Photo], detector: FaceDetector, settings: dict[str, Any], report: DetectReport
) -> None:
    """Finds the faces of photos and frames, and reports in their order."""
    named = {photo.path: photo for photo in photos}

    def fail(source: Source, error: Exception) -> None:
        report.fail(str(source.path), str(error).removeprefix(f"{source.path}: "))
        progress.advance(task)

    total = _count_images(photos)
    progress = progress_bar(
        "images" if any(map(_is_video, photos)) else "photos",
        console=report.console,
        shown=total is None or total >= _FEW,
    )
    with progress, _notes(report), report:
        task = progress.add_task("", total=total)
        for faces in detector.stream(
            [photo.path for photo in photos],
            on_error=fail,
            keep_images=report.draws,
            **settings,
        ):
            assert faces.source is not None
            assert faces.source.path is not None
            report.add(named[faces.source.path], faces)
            progress.advance(task)


def _count_images(photos: Sequence[Photo]) -> int | None:
    """How many photos and frames there are; None where a video does not say."""
    from s3fd.images.video import count_frames

    counts = [count_frames(photo.path) if _is_video(photo) else 1 for photo in photos]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _is_video(photo: Photo) -> bool:
    return photo.path.suffix.lower() in VIDEO_SUFFIXES


@contextmanager
def _notes(report: DetectReport) -> Iterator[None]:
    """Shows what is to be said about images as notes; Pillow's warnings are about fine ones."""
    from s3fd.images import ImageWarning

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        report.note(str(message))

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("always", ImageWarning)
        warnings.showwarning = show
        yield


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
