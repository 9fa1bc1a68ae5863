"""Options that several commands share, declared once, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Group, Parameter
from cyclopts.validators import Number

from s3fd.defaults import BATCH_SIZE, IOU_THRESHOLD, MAX_PIXELS, MAX_SIZE, Precision
from s3fd.settings import Range

if TYPE_CHECKING:
    import torch

    from s3fd.detector import FaceDetector

OPTIONS = Group.create_default_parameters("Options")
DETECTOR = Group("Detector", sort_key=1)
RESULTS = Group("Results", sort_key=2)
RAY = Group("Many machines", sort_key=3)

# The version of cyclopts for Python 3.10 shows no names of values.
_HAS_METAVAR = "metavar" in signature(Parameter).parameters


class UsageError(Exception):
    """An option that can't be followed: exit code 2, as for one that can't be read."""

    def __init__(self, option: str, why: str) -> None:
        super().__init__(f"Invalid value for {option}: {why}")


def option(metavar: str | None = None, **more: Any) -> Parameter:
    """How an option is read and shown.

    Args:
        metavar: what the help calls its value; None for its type.
        more: as `cyclopts.Parameter` takes.
    """
    if metavar is not None and _HAS_METAVAR:
        more["metavar"] = metavar
    return Parameter(**more)


def number(kind: type, within: Range, **more: Any) -> Parameter:
    """An option that takes the numbers of a range, which its help shows."""
    bounds = {
        "gt" if within.above_low else "gte": within.low,
        "lt" if within.below_high else "lte": within.high,
    }
    metavar = within.around(kind.__name__.upper()).replace(" ", "")
    return option(metavar, validator=Number(**bounds), **more)


Count: TypeAlias = Annotated[int, number(int, Range(0))]
AtLeastOne: TypeAlias = Annotated[int, number(int, Range(1))]
Share: TypeAlias = Annotated[float, number(float, Range(0, 1))]
Flag: TypeAlias = Annotated[bool, option(show_default=False)]
Model: TypeAlias = Annotated[
    str,
    option("NAME|FILE", group=DETECTOR, help="Bundled weights, or a file of weights."),
]
Device: TypeAlias = Annotated[
    str | None,
    option(
        "NAME",
        group=DETECTOR,
        help="cpu, cuda, cuda:1, mps.",
        show_default=lambda _: "cuda if there is a GPU",
    ),
]


def device_of(name: str | None) -> torch.device:
    """The device that ``--device`` means."""
    from s3fd.devices import resolve_device

    try:
        return resolve_device(name)
    except ValueError as error:
        raise UsageError("--device", str(error)) from None


@Parameter(name="*", group=DETECTOR)
@dataclass(frozen=True, kw_only=True)
class DetectorOptions:
    """How a detector looks for faces.

    Attributes:
        device: cpu, cuda, cuda:1, mps.
        precision: What the network computes in; auto: bfloat16 on a CPU that multiplies in it.
        max_size: Shrink photos whose longest side is larger; 0: never.
        min_face: Find faces from this size on, in pixels: shrinks large photos, or looks closer.
        batch_size: Photos that go through the network together.
        multi_scale: The paper's test: several scales and a mirror image, merged. Better, and slow.
        max_pixels: With --multi-scale, the size up to which photos are enlarged, or shrunk.
        drop_single: With --multi-scale, leave out faces that one scale alone has seen.
    """

    device: Device = None
    precision: Precision = "auto"
    max_size: Count = MAX_SIZE
    min_face: Annotated[float, number(float, Range(0))] = 0
    batch_size: AtLeastOne = BATCH_SIZE
    multi_scale: Flag = False
    max_pixels: AtLeastOne = MAX_PIXELS
    drop_single: Flag = False

    def detector(self, model: str) -> FaceDetector:
        """The detector that is meant; a mistake is a usage error."""
        from s3fd.detector import FaceDetector

        self._refuse_options_without_effect()
        device = device_of(self.device)
        try:
            return FaceDetector.from_pretrained(model, device, precision=self.precision)
        except (OSError, ValueError) as error:
            raise UsageError("--model", str(error)) from None

    def settings(
        self, *, score_threshold: float, iou_threshold: float = IOU_THRESHOLD
    ) -> dict[str, Any]:
        """The arguments of `FaceDetector.stream` that are meant; a mistake is a usage error."""
        scales: dict[str, Any] = {"max_size": self.max_size or None}
        if self.multi_scale:
            scales = {"max_pixels": self.max_pixels, "keep_single": not self.drop_single}
        settings = {
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "min_face": self.min_face or None,
            "batch_size": self.batch_size,
            **scales,
        }
        _check_settings(settings, multi_scale=self.multi_scale)
        return {"multi_scale": self.multi_scale, **settings}

    def record(self) -> dict[str, Any]:
        """The options that have an effect, for the record of a run."""
        scales: dict[str, Any] = {"max_size": self.max_size or None}
        if self.multi_scale:
            scales = {"max_pixels": self.max_pixels, "drop_single": self.drop_single}
        return {
            "multi_scale": self.multi_scale,
            **scales,
            "min_face": self.min_face or None,
            "batch_size": self.batch_size,
        }

    def _refuse_options_without_effect(self) -> None:
        if self.multi_scale and self.max_size not in (0, MAX_SIZE):
            raise UsageError(
                "--max-size",
                "has no effect with --multi-scale, where --max-pixels bounds the photos",
            )
        for name, given in {
            "--max-pixels": self.max_pixels != MAX_PIXELS,
            "--drop-single": self.drop_single,
        }.items():
            if given and not self.multi_scale:
                raise UsageError(name, "has an effect with --multi-scale alone")


def _check_settings(settings: dict[str, Any], *, multi_scale: bool) -> None:
    """Refuses numbers that are in the range of their option and out of that of a search."""
    from s3fd.search import chosen_search

    try:
        chosen_search(settings, multi_scale=multi_scale)
    except ValueError as error:
        name, _, why = str(error).partition(": ")
        raise UsageError(f"--{name.replace('_', '-')}", why) from None
