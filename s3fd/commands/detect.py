"""``s3fd detect``: photos and videos in; a table, copies with boxes, and JSON out."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from s3fd.commands.detect_ray import detect_on_ray, everywhere
from s3fd.commands.detect_report import DetectReport
from s3fd.commands.files import ResultNames
from s3fd.commands.json_lines import JsonLines, holds_lines
from s3fd.commands.options import (
    RAY,
    DetectorOptions,
    Flag,
    Model,
    Share,
    UsageError,
    number,
    option,
)
from s3fd.commands.output_files import check_output_file, json_path
from s3fd.commands.outputs import Folder, JsonFile, progress_bar
from s3fd.defaults import IOU_THRESHOLD, SCORE_THRESHOLD
from s3fd.file_kinds import VIDEO_SUFFIXES
from s3fd.files import why_not_writable
from s3fd.photos import Found, Note, Photo, PhotoSearch, Problem
from s3fd.settings import Range

if TYPE_CHECKING:
    from s3fd.detector import FaceDetector
    from s3fd.images import Source

_FEW = 4  # photos, for which no progress is shown
_COUNTED = 10_000  # photos, up to which they are counted before the first one is read


def detect(
    *photos: Annotated[str, option(name="PHOTO", required=True)],
    out: Folder = None,
    json_file: JsonFile = None,
    resume: Flag = False,
    ray: Annotated[bool | str | None, option("[ADDRESS]", group=RAY, show_default=False)] = None,
    shard_size: Annotated[int, number(int, Range(1), group=RAY)] = 1000,
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
        resume: Go on with the file of --json: photos that stand in it are not done again.
        ray: Work on a Ray cluster, and write Parquet files to --out; those that are there already
            are not made again. PHOTO may be Parquet with a column image, bytes or path, too.
            Without an address: the cluster that Ray finds, or one on this machine.
        shard_size: Photos of one of these files.
        threshold: Leave out faces with a smaller score.
        iou_threshold: Of two faces that overlap more, keep the better.
    """
    settings = options.settings(score_threshold=threshold, iou_threshold=iou_threshold)
    if ray:
        if out is None or json_file is not None or resume:
            raise UsageError("--ray", "expected --out DIR, without --json and --resume")
        options.detector(model)  # finds mistakes before a cluster does
        arguments = {"model": everywhere(model), "device": options.device, **settings}
        arguments["precision"] = options.precision
        return detect_on_ray(photos, out, ray, shard_size, arguments)
    search = PhotoSearch(photos, without=out)
    if out is not None and (why_not := why_not_writable(out)):
        raise UsageError("--out", why_not)
    if out is not None and not resume and search.searches(out):
        raise UsageError(
            "--out",
            f"{out} is searched for photos, and a later run would take the copies for some; take "
            "another folder",
        )
    check_output_file(
        json_path(json_file),
        "--json",
        [model],
        photos=search,
        in_place=True,
        is_own=holds_lines,
    )
    found = iter(search)
    first = list(islice(found, _COUNTED))
    more = len(first) == _COUNTED
    detector = options.detector(model) if more or any(isinstance(x, Photo) for x in first) else None
    interrupted = False
    with JsonLines(json_file, resume=resume) as lines:
        names = None if out is None else ResultNames(out, search, taken=lines.drawn())

        def is_done(photo: Photo) -> bool:
            return photo.path in lines or (names is not None and photo.path in names)

        report = DetectReport(names, lines)
        to_do = [x for x in first if not (isinstance(x, Photo) and is_done(x))]
        queue = _Queue(chain(to_do, found), is_done, report)
        total = None if more else _count_images(x for x in to_do if isinstance(x, Photo))
        try:
            if detector is not None:
                _detect_all(queue, total, detector, settings, report)
            queue.finish()
        except KeyboardInterrupt:  # what is done is kept
            interrupted = True
    if json_file != "-":
        report.print_table()
    return 130 if interrupted else 1 if report.failures else 0


class _Queue:
    """What was found, from when it is taken until its turn comes in the report.

    Args:
        found: photos, and what there is to say about others.
        is_done: photos that are left out.
        report: is told the rest when its turn comes, so that all stands in one order.
    """

    def __init__(
        self, found: Iterable[Found], is_done: Callable[[Photo], bool], report: DetectReport
    ) -> None:
        self._found = iter(found)
        self._is_done = is_done
        self._report = report
        self._waiting: deque[Found] = deque()

    def paths(self) -> Iterator[Path]:
        """The photos and videos that are to be done."""
        for found in self._found:
            if isinstance(found, Photo):
                if self._is_done(found):
                    continue
                self._waiting.append(found)
                yield found.path
            else:
                self._waiting.append(found)

    def photo(self, path: Path | None) -> Photo:
        """The one whose turn has come, after what stands before it."""
        while True:
            found = self._waiting[0]
            if isinstance(found, Photo) and found.path == path:
                return found
            self._tell(self._waiting.popleft())

    def finish(self) -> None:
        """Tells what stands behind the last photo."""
        for _ in self.paths():
            pass
        while self._waiting:
            self._tell(self._waiting.popleft())

    def _tell(self, found: Found) -> None:
        if isinstance(found, Note):
            self._report.note(found.text)
        elif isinstance(found, Problem):
            self._report.fail(found.what, found.why)


def _detect_all(
    queue: _Queue,
    total: int | None,
    detector: FaceDetector,
    settings: dict[str, Any],
    report: DetectReport,
) -> None:
    """Finds the faces of photos and frames, and reports in their order."""

    def fail(source: Source, error: Exception) -> None:
        photo = queue.photo(source.path)
        report.fail(str(photo.path), str(error).removeprefix(f"{photo.path}: "))
        progress.advance(task)

    progress = progress_bar("images", console=report.console, shown=total is None or total >= _FEW)
    with progress, _notes(report), report:
        task = progress.add_task("", total=total)
        for faces in detector.stream(
            queue.paths(), on_error=fail, keep_images=report.draws, **settings
        ):
            assert faces.source is not None
            report.add(queue.photo(faces.source.path), faces)
            progress.advance(task)


def _count_images(photos: Iterable[Photo]) -> int | None:
    """How many photos and frames there are; None where a video does not say."""
    from s3fd.images.video import count_frames

    counts = [
        count_frames(photo.path) if photo.path.suffix.lower() in VIDEO_SUFFIXES else 1
        for photo in photos
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


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
