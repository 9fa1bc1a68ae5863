"""Whether commands may write the files that they are to write, known before any work is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from s3fd.commands.options import UsageError
from s3fd.file_kinds import PHOTO_SUFFIXES, RAW_SUFFIXES, VIDEO_SUFFIXES
from s3fd.files import one_of, why_not_writable
from s3fd.photos import PhotoSearch

_PICTURES = PHOTO_SUFFIXES | RAW_SUFFIXES | VIDEO_SUFFIXES
_LABELS = frozenset([".csv", ".data", ".json", ".mat", ".names", ".txt", ".xml", ".yaml", ".yml"])
_REPORTS = (b'{\n  "benchmark": ', b'{\n  "data": ')  # as `Outputs.publish` begins them
_IS_A_PHOTO = "is one of the photos, which are never overwritten; take another name"


def json_path(json_file: str | None) -> Path | None:
    """The file of ``--json``; None for none, and for the standard output."""
    return None if json_file is None or json_file == "-" else Path(json_file)


def check_output_file(
    file: Path | None,
    option: str,
    inputs: Iterable[str | Path | None] = (),
    *,
    photos: PhotoSearch | None = None,
    in_place: bool = False,
    is_own: Callable[[Path], bool] | None = None,
) -> None:
    """Finds what would keep the file of an option from being written, and refuses to lose another.

    Args:
        file: to be written; None for none.
        option: its name, such as ``--json``.
        inputs: files that it must not replace, and folders of labels; None for none.
        photos: that it must not replace.
        in_place: whether a file that is there is opened and written to; otherwise `whole_file`
            replaces it by another one, unless it is no regular file.
        is_own: whether an earlier run has written a file that is called like labels; if not, it is
            refused wherever it is. None: one in a folder of `inputs` has to be a report.
    """
    if file is None:
        return
    path = Path(os.path.realpath(file))
    if path.is_dir():
        raise UsageError(option, f"{file} is a folder")
    if photos is not None and photos.includes(path):
        raise UsageError(option, f"{file} {_IS_A_PHOTO}")
    _check_writable(file, option, in_place)
    # A plot is a picture itself, and may replace an earlier one.
    if option != "--plot" and path.is_file() and _PICTURES & _suffixes(file):
        raise UsageError(
            option, f"{file} is a photo or a video, which are never overwritten; take another name"
        )
    if is_own is not None and _may_be_labels(file, is_own):
        raise UsageError(
            option,
            f"{file} may be labels, which are never overwritten; take another name, or remove it "
            "before",
        )
    for given in inputs:
        if given is not None:
            _check_not_read(file, option, Path(given))


def check_plot(file: Path) -> None:
    """Finds what else would keep a plot from being drawn: its suffix, or a missing library."""
    from s3fd.evaluation.plots import check_plot_files

    try:
        check_plot_files(file)
    except (ImportError, ValueError) as error:
        raise UsageError("--plot", str(error)) from None


def check_files_differ(files: Mapping[str, Path | None]) -> None:
    """Refuses two options with one file; ``/dev/null`` and the like take any number."""
    options: dict[str, str] = {}
    for option, file in files.items():
        if file is None or (file.exists() and not file.is_file()):
            continue
        first = options.setdefault(os.path.normcase(os.path.realpath(file)), option)
        if first != option:
            raise UsageError(option, f"{file} is the file of {first}, too; give each its own")


def check_no_photo(files: Mapping[str, Path | None], photos: Iterable[Path]) -> None:
    """Refuses to replace one of these photos, whatever the names of the files of options."""
    options = {file: option for option, file in files.items() if file is not None}
    if file := one_of(options, photos):
        raise UsageError(options[file], f"{file} {_IS_A_PHOTO}")


def _check_writable(file: Path, option: str, in_place: bool) -> None:
    path = Path(os.path.realpath(file))
    opened = file if in_place else path
    if opened.exists() and (in_place or not opened.is_file()):  # its folder need not be writable
        if not os.access(opened, os.W_OK):
            raise UsageError(option, f"no permission to write to {file}")
    elif not path.parent.is_dir():
        raise UsageError(option, f"there is no folder {path.parent}")
    elif why_not := why_not_writable(path.parent):
        raise UsageError(option, why_not)


def _check_not_read(file: Path, option: str, given: Path) -> None:
    """Refuses a file that is an input, or that may be one of the labels in a folder."""
    if given.is_dir():
        if _is_inside(file, given) and _may_be_labels(file, _is_report):
            raise UsageError(
                option,
                f"{file} lies in {given}, whose labels are never overwritten; take another name, "
                "or remove it before",
            )
    elif _is_same(file, given):
        raise UsageError(
            option, f"{file} is read, too, and what is read is never overwritten; take another name"
        )


def _may_be_labels(file: Path, is_own: Callable[[Path], bool]) -> bool:
    """Whether a file that is there is called like labels, and was not written by an earlier run."""
    return bool(_LABELS & _suffixes(file)) and file.is_file() and not is_own(file)


def _suffixes(file: Path) -> set[str]:
    """Of a file, and of what it leads to."""
    return {file.suffix.lower(), Path(os.path.realpath(file)).suffix.lower()}


def _is_same(file: Path, other: Path) -> bool:
    """Whether two names are of one file, which need not be there."""
    if file.exists() and other.exists():
        return file.samefile(other)
    return os.path.realpath(file) == os.path.realpath(other)


def _is_inside(file: Path, folder: Path) -> bool:
    """Whether a file, or the link that leads to it, lies anywhere below a folder."""
    places = Path(os.path.realpath(file)), Path(os.path.realpath(file.parent), file.name)
    return any(place.is_relative_to(os.path.realpath(folder)) for place in places)


def _is_report(file: Path) -> bool:
    """Whether an earlier run has written it, which the same command may do again."""
    with suppress(OSError), file.open("rb") as opened:
        return opened.read(max(map(len, _REPORTS))).startswith(_REPORTS)
    return False
