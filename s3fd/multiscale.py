"""The paper's test-time protocol: one image at several scales, merged by voting.

It is that of the authors' ``wider_test.py``. `FaceDetector.detect_multiscale` runs it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from s3fd.detections import Detections
from s3fd.images import UInt8Array
from s3fd.ops import vote_boxes
from s3fd.scaled_image import ScaledImage

LOWEST_PASS_SCORE = 0.05
"""The score from which a box takes part in the vote, that of the authors' network."""

MOST_FACES = 750
"""Faces of one image at most."""

_LARGE = 30.0
_SMALL = 100.0


@dataclass(frozen=True)
class Pass:
    """One look at an image.

    Attributes:
        scale: of its sides.
        mirrored: whether left and right are exchanged.
        larger_than: faces count whose longest side is larger, in pixels of the original image.
        smaller_than: faces count whose shortest side is smaller, likewise.
    """

    scale: float
    mirrored: bool = False
    larger_than: float = 0.0
    smaller_than: float = math.inf

    def scaled(self, pixels: UInt8Array) -> ScaledImage:
        """What the network looks at, of an image uint8 ``[H, W, 3]``: never larger than meant."""
        height, width = pixels.shape[:2]
        size = max(1, int(height * self.scale)), max(1, int(width * self.scale))
        return ScaledImage(pixels, size, (height, width), self.mirrored)

    def keep(self, found: Detections) -> Detections:
        """The faces that count in this pass."""
        sides = found.boxes[:, 2:] - found.boxes[:, :2]  # [N, 2]
        kept = (sides.amax(dim=1) > self.larger_than) & (sides.amin(dim=1) < self.smaller_than)
        return found[kept]


def largest_scale(image_size: tuple[int, int], max_pixels: int) -> float:
    """The scale at which an image (height, width) has as many pixels as are allowed.

    Example:
        >>> largest_scale((300, 400), 480_000)
        2.0
    """
    height, width = image_size
    return math.sqrt(max_pixels / (height * width))


def plan_passes(largest: float) -> list[Pass]:
    """How an image is looked at.

    At its own scale, as it is and mirrored; at half of it for faces over 30 px; enlarged for faces
    under 100 px, twice, four times and so on, and as far as the limit allows. If that does not
    allow to enlarge it, there is a scale between the half and the largest in place of that, for
    faces over 30 px again.

    Args:
        largest: the largest scale that the memory allows; below 1 it takes the place of the
            image's own scale.

    Example:
        >>> [look.scale for look in plan_passes(5)]
        [1.0, 1.0, 0.5, 2.0, 4.0, 5]
        >>> [look.scale for look in plan_passes(0.8)]
        [0.8, 0.8, 0.5, 0.65]
    """
    own = min(1.0, largest)
    half = 0.5 if largest >= 0.75 else 0.5 * largest
    passes = [Pass(own), Pass(own, mirrored=True), Pass(half, larger_than=_LARGE)]
    if largest <= 1:
        return [*passes, Pass((half + largest) / 2, larger_than=_LARGE)]
    scale = 2.0
    while scale < largest:
        passes.append(Pass(scale, smaller_than=_SMALL))
        scale *= 2
    return [*passes, Pass(largest, smaller_than=_SMALL)]


def merge_passes(
    found: Sequence[Detections], *, iou_threshold: float, keep_single: bool
) -> Detections:
    """Merges what the passes over one image found, by `s3fd.ops.vote_boxes`.

    Args:
        found: at least one pass, each in pixels of the original image.
        iou_threshold: least IoU with the best box that joins it.
        keep_single: whether boxes that no other joins stay.

    Returns:
        By falling score, the `MOST_FACES` best.
    """
    boxes, scores = vote_boxes(
        torch.cat([detections.boxes for detections in found]),
        torch.cat([detections.scores for detections in found]),
        iou_threshold,
        keep_single=keep_single,
    )
    return Detections(boxes[:MOST_FACES], scores[:MOST_FACES], found[0].image_size)
