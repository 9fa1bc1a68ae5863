"""A photo with its faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One photo and what is known of it.

    Attributes:
        path: the image file.
        width: its width in pixels, upright; None if the labels do not say.
        height: its height in pixels, upright; None if the labels do not say.
        boxes: float32 ``[N, 4]``, the faces, ``(x1, y1, x2, y2)`` in pixels.
        ignore: float32 ``[M, 4]``, regions of which nothing is known: neither faces nor background.
        distractors: float32 ``[K, 4]``, background that looks like faces, to be shown more often.
    """

    path: Path
    width: int | None
    height: int | None
    boxes: FloatArray
    ignore: FloatArray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    distractors: FloatArray = field(default_factory=lambda: np.empty((0, 4), np.float32))


def annotated_image(
    path: Path, rows: object, *, ignored: Sequence[bool] | None = None, ignore: object = (),
    size: tuple[int, int] | None = None,
) -> AnnotatedImage:  # fmt: skip
    """A photo from the rows of its labels; boxes that cannot be learned from become ignore boxes.

    Args:
        path: the image file.
        rows: ``[N, 4]`` numbers, ``(x1, y1, x2, y2)``.
        ignored: for each row, whether its labels say that it is not to be used. Rows without area
            in the photo are never used.
        ignore: ``[M, 4]`` more ignore boxes.
        size: width and height, where they are known.

    Raises:
        ValueError: the rows are not of four finite numbers each, or the size is not positive.
    """
    boxes = _boxes(path, rows)
    unusable = np.zeros(len(boxes), bool) if ignored is None else np.asarray(ignored, bool)
    width, height = size or (None, None)
    seen = boxes
    if width is not None and height is not None:
        if min(width, height) < 1:
            raise ValueError(
                f"{path}: expected a width and a height above 0, got {width} x {height}"
            )
        seen = clipped(boxes, width, height)
    unusable = unusable | ~has_area(seen)
    unused = np.concatenate([boxes[unusable], _boxes(path, ignore)])
    return AnnotatedImage(path, width, height, boxes[~unusable], unused)


def clipped(boxes: FloatArray, width: int, height: int) -> FloatArray:
    """``[N, 4]`` boxes as far as they lie in a photo; those outside have no area."""
    return boxes.clip(0, np.array([width, height] * 2, boxes.dtype))


def has_area(boxes: FloatArray) -> NDArray[np.bool_]:
    """Which of ``[N, 4]`` boxes have a width and a height above zero."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _boxes(path: Path, rows: object) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            boxes = np.asarray(rows, dtype=np.float64).astype(np.float32)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{path}: boxes: expected rows of 4 numbers") from None
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"{path}: boxes: expected rows of 4 numbers, got shape {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise ValueError(f"{path}: boxes: expected finite numbers")
    return boxes.reshape(-1, 4)
