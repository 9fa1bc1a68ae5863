"""Options that several commands share, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from s3fd.defaults import IOU_THRESHOLD, MAX_PIXELS, MAX_SIZE
from s3fd.files import why_not_writable

if TYPE_CHECKING:
    from s3fd.detections import Detections
    from s3fd.detector import FaceDetector
    from s3fd.images import UInt8Array

    Finder: TypeAlias = Callable[[Sequence[UInt8Array]], list[Detections]]

Model = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="Bundled weights, or a file of weights.")
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="cpu, cuda, cuda:1, mps.", show_default="cuda if there is a GPU"
    ),
]
MaxSize = Annotated[
    int, typer.Option(min=0, help="Shrink photos whose longest side is larger; 0: never.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Photos that go through the network together.")]
MultiScale = Annotated[
    bool,
    typer.Option(
        "--multi-scale",
        help="The paper's test: several scales and a mirror image, merged. Better, and slow.",
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        min=1, help="With --multi-scale, the size up to which photos are enlarged, or shrunk."
    ),
]
DropSingle = Annotated[
    bool,
    typer.Option(
        "--drop-single", help="With --multi-scale, leave out faces that one scale alone has seen."
    ),
]


def load_detector(model: str, device: str | None) -> FaceDetector:
    """The detector that ``--model`` and ``--device`` mean; a mistake there is a usage error."""
    from s3fd.detector import FaceDetector
    from s3fd.devices import resolve_device

    try:
        resolved = resolve_device(device)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--device") from None
    try:
        return FaceDetector.from_pretrained(model, resolved)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="--model") from None


def face_finder(
    detector: FaceDetector,
    *,
    score_threshold: float,
    iou_threshold: float = IOU_THRESHOLD,
    max_size: int,
    min_face: float,
    batch_size: int,
    multi_scale: bool,
    max_pixels: int,
    drop_single: bool,
) -> Finder:
    """What finds faces in the way that the options mean: they come as they were typed.

    A usage error is raised where they contradict each other.
    """
    _check_scales(multi_scale, max_size, max_pixels, drop_single)
    if multi_scale:
        return lambda pictures: detector.detect_multiscale(
            pictures,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_pixels=max_pixels,
            min_face=min_face or None,
            keep_single=not drop_single,
            batch_size=batch_size,
        )
    return lambda pictures: detector(
        pictures,
        score_threshold=score_threshold,
        iou_threshold=iou_threshold,
        max_size=max_size or None,
        min_face=min_face or None,
        batch_size=batch_size,
    )


def _check_scales(multi_scale: bool, max_size: int, max_pixels: int, drop_single: bool) -> None:
    """Refuses options that would have no effect."""
    if multi_scale and max_size not in (0, MAX_SIZE):
        raise typer.BadParameter(
            "has no effect with --multi-scale, where --max-pixels bounds the photos",
            param_hint="--max-size",
        )
    for name, given in {
        "--max-pixels": max_pixels != MAX_PIXELS,
        "--drop-single": drop_single,
    }.items():
        if given and not multi_scale:
            raise typer.BadParameter("has an effect with --multi-scale alone", param_hint=name)


def check_json_file(json_file: str | None, photos: Iterable[Path] = ()) -> None:
    """Finds what would keep ``--json`` from being written before any work is done.

    Args:
        json_file: a path, ``-`` for the standard output, or None.
        photos: files that it must not replace.
    """
    if json_file is None or json_file == "-":
        return
    check_output_file(Path(json_file), "--json", photos)


def check_output_file(file: Path, option: str, photos: Iterable[Path] = ()) -> None:
    """Finds what would keep the file of an option from being written before any work is done.

    Args:
        file: to be written.
        option: its name, such as ``--json``.
        photos: files that it must not replace.
    """
    path = Path(os.path.realpath(file))
    if path.is_dir():
        raise typer.BadParameter(f"{file} is a folder", param_hint=option)
    if any(os.path.realpath(photo) == str(path) for photo in photos):
        raise typer.BadParameter(
            f"{file} is one of the photos, which are never overwritten", param_hint=option
        )
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint=option)
    if why_not := why_not_writable(path.parent):
        raise typer.BadParameter(why_not, param_hint=option)
