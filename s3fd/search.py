"""How images are searched for faces: at one scale, or at several."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeAlias, TypedDict

import torch

from s3fd.closer import close_factors, tiles
from s3fd.defaults import BATCH_SIZE, IOU_THRESHOLD, MAX_PIXELS, MAX_SIZE, SCORE_THRESHOLD
from s3fd.detections import Detections
from s3fd.images import Size
from s3fd.images.sources import SourcedImage
from s3fd.multiscale import LOWEST_PASS_SCORE, Pass, largest_scale, merge_passes, plan_passes
from s3fd.ops import nms
from s3fd.ops._checks import check_integer, check_number
from s3fd.scaled_image import ScaledImage

if TYPE_CHECKING:
    from s3fd.network import Network

_LARGE = 2048  # larger images are prepared for one batch at a time, to bound the memory


@dataclass(frozen=True)
class SingleScale:
    """Images are looked at once; see `s3fd.FaceDetector.__call__` for what the fields mean."""

    score_threshold: float = SCORE_THRESHOLD
    iou_threshold: float = IOU_THRESHOLD
    max_size: int | None = MAX_SIZE
    min_face: float | None = None
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        _check(self)
        if self.max_size is not None:
            check_integer("max_size", self.max_size, minimum=1, below=2**31)

    @property
    def together(self) -> int:
        """Images that are searched together at most: enough for those of one size to meet."""
        batch_size = int(self.batch_size)  # numpy's would overflow
        large = self.max_size is None or self.max_size > _LARGE or self.min_face
        return batch_size if batch_size == 1 or large else 4 * batch_size

    def prepare(self, image: SourcedImage, network: Network) -> list[ScaledImage]:
        """What the network is going to look at: the whole image first."""
        closest = network.smallest_anchor / self.min_face if self.min_face else 1.0

        def furthest(size: Size) -> float:
            fits = math.inf if self.max_size is None else self.max_size / max(size)
            return min(1.0, closest, fits)

        def read_at(size: Size) -> Size:
            close = min(1.0, closest) if self.min_face else furthest(size)
            return _times(close, size)

        pixels, original_size = image.read_scaled(read_at)
        far = furthest(original_size)
        whole = ScaledImage(pixels, _times(far, original_size), original_size)
        if not self.min_face:
            return [whole]
        shrunk = ScaledImage(whole.pixels(), whole.scaled_size, original_size)
        factors = close_factors(closest, far)
        return [shrunk, *(tile for f in factors for tile in tiles(pixels, f, original_size))]

    def find(self, images: Sequence[list[ScaledImage]], network: Network) -> list[Detections]:
        """The faces of each image that `prepare` gave."""
        found = iter(
            network.find(
                [look for looks in images for look in looks],
                self.score_threshold,
                self.iou_threshold,
                batch_size=self.batch_size,
            )
        )
        merged = (self._merged([(look, next(found)) for look in looks]) for looks in images)
        return [_without_small(faces, self.min_face) for faces in merged]

    def _merged(self, looks: Sequence[tuple[ScaledImage, Detections]]) -> Detections:
        """One image's faces out of those of its looks; of one that several see, the surest."""
        kept = [look.keep(found) for look, found in looks]
        if len(kept) == 1:
            return kept[0]
        kept = [*kept[1:], kept[0]]  # of equally sure ones the first, which is seen more closely
        boxes = torch.cat([faces.boxes for faces in kept])
        scores = torch.cat([faces.scores for faces in kept])
        best = nms(boxes, scores, self.iou_threshold)
        return Detections(boxes[best], scores[best], kept[0].image_size)


@dataclass(frozen=True)
class MultiScale:
    """The paper's test; see `s3fd.FaceDetector.detect_multiscale` for what the fields mean."""

    score_threshold: float = SCORE_THRESHOLD
    iou_threshold: float = IOU_THRESHOLD
    max_pixels: int = MAX_PIXELS
    min_face: float | None = None
    keep_single: bool = True
    batch_size: int = BATCH_SIZE

    def __post_init__(self) -> None:
        _check(self)
        check_integer("max_pixels", self.max_pixels, minimum=1, below=2**63)

    @property
    def together(self) -> int:
        """Images that are searched together at most."""
        return self.batch_size

    def prepare(self, image: SourcedImage, network: Network) -> list[ScaledImage]:
        """What the network is going to look at."""
        pixels = image.read()
        return [look.scaled(pixels) for look in self._passes(pixels.shape[:2], network)]

    def find(self, images: Sequence[list[ScaledImage]], network: Network) -> list[Detections]:
        """The faces of each image that `prepare` gave."""
        found = iter(
            network.find(
                [look for looks in images for look in looks],
                min(self.score_threshold, LOWEST_PASS_SCORE),
                self.iou_threshold,
                batch_size=self.batch_size,
                max_pixels=self.max_pixels,
            )
        )
        return [self._merged(looks[0].original_size, found, network) for looks in images]

    def _passes(self, image_size: tuple[int, int], network: Network) -> list[Pass]:
        largest = largest_scale(image_size, self.max_pixels)
        if self.min_face:
            largest = min(largest, network.smallest_anchor / self.min_face)
        return plan_passes(largest)

    def _merged(
        self, image_size: tuple[int, int], found: Iterator[Detections], network: Network
    ) -> Detections:
        """One image's faces, out of those of its passes, which come next."""
        faces = merge_passes(
            [look.keep(next(found)) for look in self._passes(image_size, network)],
            iou_threshold=self.iou_threshold,
            keep_single=self.keep_single,
        )
        return _without_small(faces[faces.scores >= self.score_threshold], self.min_face)


Search: TypeAlias = SingleScale | MultiScale


def chosen_search(settings: Mapping[str, object], *, multi_scale: bool) -> Search:
    """One of the two, with its settings.

    Raises:
        TypeError: a setting has no meaning there, or is of another kind.
        ValueError: it can't have such a value.
    """
    kind: type[Search] = MultiScale if multi_scale else SingleScale
    known = {field.name for field in fields(kind)}
    if unknown := sorted(settings.keys() - known):
        raise TypeError(
            f"{unknown[0]}: no setting of a search with multi_scale={multi_scale}; "
            f"expected some of {sorted(known)}"
        )
    return kind(**settings)  # type: ignore[arg-type]


class CommonSettings(TypedDict, total=False):
    """Arguments of all ways to search; see `s3fd.FaceDetector.__call__`."""

    score_threshold: float
    iou_threshold: float
    min_face: float | None
    batch_size: int


class SingleScaleSettings(CommonSettings, total=False):
    """Arguments of `s3fd.FaceDetector.__call__`."""

    max_size: int | None


class MultiScaleSettings(CommonSettings, total=False):
    """Arguments of `s3fd.FaceDetector.detect_multiscale`."""

    max_pixels: int
    keep_single: bool


class StreamSettings(SingleScaleSettings, MultiScaleSettings, total=False):
    """Arguments of `s3fd.FaceDetector.stream`."""


def _check(search: Search) -> None:
    check_number("score_threshold", search.score_threshold, minimum=0, maximum=1)
    check_number("iou_threshold", search.iou_threshold, minimum=0, maximum=1)
    check_integer("batch_size", search.batch_size, minimum=1)
    if search.min_face is not None:
        check_number("min_face", search.min_face, minimum=0)


def _times(factor: float, size: Size) -> Size:
    height, width = size
    return max(1, round(height * factor)), max(1, round(width * factor))


def _without_small(detections: Detections, min_face: float | None) -> Detections:
    if not min_face:
        return detections
    sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
    return detections[sides.amax(dim=1) >= min_face]
