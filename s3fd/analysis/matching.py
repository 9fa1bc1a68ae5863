"""How many anchors match a face, by its scale: what scale compensation is for (S3FD, figure 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from s3fd.ops import AnchorGrid

_BATCH = 32  # images that are matched together


@dataclass(frozen=True)
class MatchingRule:
    """A way to match anchors to faces: the options of `s3fd.ops.match_anchors`, and a name.

    Attributes:
        name: what tables and pictures call it.
        positive_iou: as for `s3fd.ops.match_anchors`.
        top_n: as for `s3fd.ops.match_anchors`; 0 leaves the second stage out.
        candidate_iou: as for `s3fd.ops.match_anchors`.
        keep_best: as for `s3fd.ops.match_anchors`.
    """

    name: str
    positive_iou: float = 0.35
    top_n: int | None = None
    candidate_iou: float = 0.1
    keep_best: bool = True


SSD = MatchingRule("SSD", positive_iou=0.5, top_n=0)
"""An IoU of 0.5, and the best anchor of every face."""

STAGE_ONE = MatchingRule("stage 1", top_n=0)
"""S3FD's first stage: SSD's rule at an IoU of 0.35."""

BOTH_STAGES = MatchingRule("both stages")
"""S3FD's scale compensation: faces with fewer anchors than the image's mean claim their best."""

RULES = (SSD, STAGE_ONE, BOTH_STAGES)
"""What the paper compares."""


@dataclass(frozen=True)
class ScaleBin:
    """Faces of about one scale.

    Attributes:
        low: the least scale in it, in pixels.
        high: where the next bin begins.
        faces: how many there are.
        mean: for each rule, the mean number of their anchors; NaN where there is no face.
    """

    low: float
    high: float
    faces: int
    mean: dict[str, float]


@dataclass(frozen=True, eq=False)
class MatchedAnchors:
    """How many anchors each face has.

    Attributes:
        grid: the anchors.
        scales: float64 ``[F]``, the square root of each face's area, in pixels of the input.
        counts: for each rule, int64 ``[F]``: the number of anchors matched to each face.
        images: number of images.
        degenerate: boxes without area, which were left out.
    """

    grid: AnchorGrid
    scales: NDArray[np.float64]
    counts: dict[str, NDArray[np.int64]]
    images: int
    degenerate: int

    def bins(self, per_octave: int = 4) -> list[ScaleBin]:
        """Means over faces of about the same scale.

        Args:
            per_octave: bins from a scale to its double, all as wide on a logarithmic axis. The
                finest anchor is in the middle of its bin, and so is every one that is a power of
                two as large.

        Returns:
            All bins from the smallest to the largest face; none without faces.

        Raises:
            ValueError: ``per_octave`` is less than 1.
        """
        if per_octave < 1:
            raise ValueError(f"per_octave: expected at least 1, got {per_octave}")
        if len(self.scales) == 0:
            return []
        middle = min(anchor_scales(self.grid))
        places = np.floor(np.log2(self.scales / middle) * per_octave + 0.5).astype(np.int64)  # [F]
        first, last = int(places.min()), int(places.max())
        faces = np.bincount(places - first)  # [bins]
        sums = {name: np.bincount(places - first, c) for name, c in self.counts.items()}
        edges = middle * 2 ** ((np.arange(first, last + 2) - 0.5) / per_octave)  # [bins + 1]
        return [
            ScaleBin(
                low=float(edges[index]),
                high=float(edges[index + 1]),
                faces=int(number),
                mean={
                    name: float(total[index] / number) if number else math.nan
                    for name, total in sums.items()
                },
            )
            for index, number in enumerate(faces)
        ]


def anchor_scales(grid: AnchorGrid) -> list[float]:
    """The square root of the area of every shape of every level, in pixels."""
    return [math.sqrt(width * height) for level in grid.shapes for width, height in level]


def count_matched_anchors(
    boxes: Sequence[Tensor],
    input_size: tuple[int, int] = (640, 640),
    *,
    grid: AnchorGrid | None = None,
    rules: Sequence[MatchingRule] = RULES,
) -> MatchedAnchors:
    """Counts the anchors that each face is matched to under several rules.

    Boxes that are not finite, or have no width or height, are left out before matching, as
    training leaves them out: they count in no mean.

    Args:
        boxes (list of Tensor[G_i, 4]): faces of each image, in pixels of the network's input.
        input_size: height and width of that input.
        grid: the anchors; None for the paper's.
        rules: of different names.

    Raises:
        ValueError: two rules have one name, or an option of one is out of its range.
        TypeError, ValueError: as `AnchorGrid.match`, for the boxes.

    Example:
        >>> import torch
        >>> tiny, other = [8.0, 8.0, 17.0, 17.0], [100.0, 100.0, 122.0, 122.0]
        >>> counted = count_matched_anchors([torch.tensor([tiny, other])])
        >>> {name: count.tolist() for name, count in counted.counts.items()}
        {'SSD': [1, 4], 'stage 1': [1, 17], 'both stages': [9, 17]}
    """
    names = [rule.name for rule in rules]
    if len(set(names)) != len(names):
        raise ValueError(f"rules: expected different names, got {names}")
    grid = AnchorGrid.s3fd() if grid is None else grid
    kept = [image[_has_area(image)] for image in boxes]
    counts = {rule.name: _counts(grid, input_size, kept, rule) for rule in rules}
    sides = torch.cat([torch.empty(0, 4), *(image.cpu() for image in kept)]).double()  # [F, 4]
    areas = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1])  # [F]
    return MatchedAnchors(
        grid=grid,
        scales=areas.sqrt().numpy(),
        counts=counts,
        images=len(kept),
        degenerate=sum(map(len, boxes)) - len(areas),
    )


def _counts(
    grid: AnchorGrid, input_size: tuple[int, int], boxes: Sequence[Tensor], rule: MatchingRule
) -> NDArray[np.int64]:
    """Anchors of each box of all images, int64 ``[F]``."""
    feature_sizes = grid.feature_sizes(input_size)
    counts = [np.empty(0, np.int64)]
    for first in range(0, len(boxes), _BATCH):
        batch = boxes[first : first + _BATCH]
        matched = grid.match(
            feature_sizes,
            batch,
            positive_iou=rule.positive_iou,
            candidate_iou=rule.candidate_iou,
            top_n=rule.top_n,
            keep_best=rule.keep_best,
        )  # [B, A]
        for row, image in zip(matched.cpu().numpy(), batch, strict=True):
            counts.append(np.bincount(row[row >= 0], minlength=len(image)))
    return np.concatenate(counts)


def _has_area(boxes: Tensor) -> Tensor:
    """Which boxes are not degenerate: bool ``[G]``."""
    return boxes.isfinite().all(dim=1) & (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
