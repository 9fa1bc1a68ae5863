"""Which square of a photo becomes a training image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from s3fd.data.annotations import FloatArray
from s3fd.ops.grid import GridDescription

BoolArray = NDArray[np.bool_]

# Faces with a side below this after the scaling are too small to learn from.
MIN_FACE = 6.0
# How often a patch without a face is drawn anew, as in the authors' own configuration.
_TRIALS = 50
_ANCHORS = np.array(GridDescription.s3fd().sizes, dtype=np.float64)


class Patch(NamedTuple):
    """A square of a photo, in its pixels: upper left corner and side."""

    x: float
    y: float
    side: float


def kept_faces(boxes: FloatArray, size: int) -> tuple[BoolArray, BoolArray]:
    """Which faces a training image shows well enough to learn from.

    A face is kept if its centre lies in the image (section 3.4), and if what is visible of it has
    sides of at least `MIN_FACE` pixels.

    Args:
        boxes: ``[N, 4]``, in pixels of the image, not clipped to it.
        size: side of the image.

    Returns:
        Two masks ``[N]``: the faces that are kept, and those that are not for their size alone.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres >= 0) & (centres < size)).all(axis=1)
    visible = boxes.clip(0, size)
    large = ((visible[:, 2:] - visible[:, :2]) >= MIN_FACE).all(axis=1)
    return inside & large, inside & ~large


def keeps_a_face(boxes: FloatArray, patch: Patch, size: int) -> bool:
    """Whether a patch that is scaled to ``size x size`` keeps any of a photo's faces ``[N, 4]``."""
    corner = np.array([patch.x, patch.y] * 2, np.float32)
    return bool(kept_faces((boxes - corner) * np.float32(size / patch.side), size)[0].any())


def paper_patch(
    width: int, height: int, boxes: FloatArray, size: int, rng: np.random.Generator
) -> Patch:
    """One of the paper's five square patches (section 3.4).

    One is the largest of the photo, the others have 0.3 to 1 of its short side; each is drawn with
    the same probability, and laid anywhere. A patch that keeps no face is drawn anew, at most 50
    times, as the authors' configuration does.

    Args:
        width: of the photo.
        height: of the photo.
        boxes: ``[N, 4]``, its faces.
        size: side that the patch is scaled to.
        rng: what draws.
    """
    short = float(min(width, height))
    largest = rng.integers(5) == 0
    for _ in range(_TRIALS):
        side = short if largest else short * rng.uniform(0.3, 1.0)
        patch = Patch(rng.uniform(0.0, width - side), rng.uniform(0.0, height - side), side)
        if not len(boxes) or keeps_a_face(boxes, patch, size):
            break
    return patch


def face_patch(width: int, height: int, boxes: FloatArray, rng: np.random.Generator) -> Patch:
    """A patch of the paper's sizes, mostly around a face, and then large enough for all of it.

    One time in five it is the largest square, otherwise one of 0.3 to 1 of the short side. Four in
    five are laid around the centre of a face: a small network learns from few steps, and a patch in
    the middle of a large face shows skin.
    """
    short = float(min(width, height))
    side = short if rng.random() < 0.2 else short * rng.uniform(0.3, 1.0)
    if len(boxes) and rng.random() < 0.8:
        x1, y1, x2, y2 = (float(value) for value in boxes[rng.integers(len(boxes))])
        side = min(short, max(side, 1.2 * max(x2 - x1, y2 - y1)))
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        return Patch(_place(x, x, side, width, rng), _place(y, y, side, height, rng), side)
    return Patch(rng.uniform(0.0, width - side), rng.uniform(0.0, height - side), side)


def photo_patch(width: int, height: int, size: int) -> Patch:
    """All of a photo, and what is right of and below it, as the detector fills up a batch.

    A photo that is smaller than `size` keeps its own scale; a larger one is shrunk to it.
    """
    return Patch(0.0, 0.0, float(max(width, height, size)))


def anchor_patch(
    width: int, height: int, boxes: FloatArray, size: int, rng: np.random.Generator
) -> Patch:
    """Data-anchor sampling: scales a face to the size of a random anchor (PyramidBox, section 3.3).

    A face is drawn, and of the six anchor sizes one that is at most one step above the nearest to
    it; the face is scaled to half to twice that size. Hence small faces come from large ones. The
    patch may reach beyond the photo.

    Args:
        width: of the photo.
        height: of the photo.
        boxes: ``[N, 4]``, its faces; at least one.
        size: side that the patch is scaled to.
        rng: what draws.
    """
    x1, y1, x2, y2 = (float(value) for value in boxes[rng.integers(len(boxes))])
    face = max(1.0, ((x2 - x1) * (y2 - y1)) ** 0.5)
    nearest = int(np.abs(_ANCHORS - face).argmin())
    target = float(rng.choice(_ANCHORS[: nearest + 2])) * rng.uniform(0.5, 2.0)
    side = size * face / target
    return Patch(_place(x1, x2, side, width, rng), _place(y1, y2, side, height, rng), side)


def _place(low: float, high: float, side: float, length: int, rng: np.random.Generator) -> float:
    """Where a patch begins that holds ``low .. high``, or at least the middle of it.

    It lies in the photo, which has this `length`, or where it is larger than that, around it.
    """
    if high - low > side:
        low = high = (low + high) / 2
    first = max(high - side, min(0.0, length - side))
    last = min(low, max(0.0, length - side))
    return (
        rng.uniform(first, last) if first < last else min(max(first, 0.0), max(0.0, length - side))
    )


def patch_around(
    width: int,
    height: int,
    face: FloatArray,
    side: float,
    rng: np.random.Generator,
    margin: float = 1.0,
) -> Patch:
    """A patch of a given size that holds a face, in the photo if it fits.

    Args:
        width: of the photo.
        height: of the photo.
        face: ``[4]``, one of its faces.
        side: of the patch, in pixels of the photo.
        rng: what draws its place.
        margin: how many times larger the result is, about the same middle.
    """
    x1, y1, x2, y2 = (float(value) for value in face)
    x, y = _place(x1, x2, side, width, rng), _place(y1, y2, side, height, rng)
    more = side * (margin - 1) / 2
    return Patch(x - more, y - more, side * margin)


def cutting(patch: Patch, face: FloatArray, rng: np.random.Generator) -> Patch:
    """Moves a patch so that one of its edges cuts 0.15 to 0.45 off a face's width or height.

    So photos cut the people at their edges. The middle of the face stays inside.

    Args:
        patch: at least as large as the face.
        face: ``[4]``, in the same pixels.
        rng: draws the edge, and how much it cuts off.
    """
    x1, y1, x2, y2 = (float(value) for value in face)
    off = rng.uniform(0.15, 0.45)
    edge = int(rng.integers(4))
    if edge == 0:
        return patch._replace(x=x1 + off * (x2 - x1))
    if edge == 1:
        return patch._replace(y=y1 + off * (y2 - y1))
    if edge == 2:
        return patch._replace(x=x2 - off * (x2 - x1) - patch.side)
    return patch._replace(y=y2 - off * (y2 - y1) - patch.side)
