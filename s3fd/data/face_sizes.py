"""Boxes of a set by their size, so that every size can be shown equally often."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from s3fd.data.annotations import FloatArray

# A photo is enlarged at most so far: below 8 px its labels say nothing, and what nobody labelled
# there would become background. Large faces only get soft.
_ENLARGE, _ENLARGE_LARGE, _LARGE = 1, 2, 64.0  # in octaves; from this size on, in pixels
# And shrunk at most so far: to more there is little left beside the face.
_SHRINK = 3


@dataclass(frozen=True, eq=False)
class _Octave:
    """The faces of a size of ``2 ** k`` to ``2 ** (k + 1)`` pixels."""

    photos: NDArray[np.int64]  # [P], those that have one
    boxes: list[FloatArray]  # of each of them
    ends: NDArray[np.float64]  # [P], cumulative shares
    share: float


class FaceSizes:
    """Draws a face, or a distractor, that can be shown at a wanted size.

    Of a photo's size every octave is as likely as the root of the number of its photos, and in an
    octave a photo as the root of the number of its faces: crowds hold most of the small faces, and
    would be nearly all that is seen of them.

    Where none is of a size that can be shown well, smaller or larger ones are drawn.

    Args:
        boxes: ``[N, 4]`` of each photo, some of which have one.
    """

    def __init__(self, boxes: Sequence[FloatArray]) -> None:
        found: dict[int, dict[int, list[FloatArray]]] = {}
        for number, of_photo in enumerate(boxes):
            sides = np.maximum(of_photo[:, 2:] - of_photo[:, :2], 1e-3)
            octaves = np.floor(np.log2(np.sqrt(sides.prod(axis=1)))).astype(int)
            for octave, box in zip(octaves.tolist(), of_photo, strict=True):
                found.setdefault(octave, {}).setdefault(number, []).append(box)
        self._octaves = {octave: _octave(by_photo) for octave, by_photo in found.items()}
        self._lowest, self._highest = min(self._octaves), max(self._octaves)

    def draw(self, target: float, rng: np.random.Generator) -> tuple[int, FloatArray]:
        """A photo's number, and one of its faces, to be shown at `target` pixels."""
        octave = int(np.floor(np.log2(target)))
        enlarge = _ENLARGE_LARGE if target >= 4 * _LARGE else _ENLARGE
        low = min(max(octave - enlarge, self._lowest), self._highest)
        high = max(min(octave + _SHRINK, self._highest), low)
        if not any(low <= octave <= high for octave in self._octaves):
            high = min(octave for octave in self._octaves if octave > high)
        choices = [self._octaves[k] for k in range(low, high + 1) if k in self._octaves]
        ends = list(accumulate(choice.share for choice in choices))
        chosen = choices[min(bisect(ends, rng.random() * ends[-1]), len(choices) - 1)]
        index = int(np.searchsorted(chosen.ends, rng.random() * chosen.ends[-1], side="right"))
        index = min(index, len(chosen.photos) - 1)
        boxes = chosen.boxes[index]
        return int(chosen.photos[index]), boxes[int(rng.integers(len(boxes)))]


def _octave(by_photo: dict[int, list[FloatArray]]) -> _Octave:
    photos = np.array(list(by_photo), dtype=np.int64)
    boxes = [np.stack(faces) for faces in by_photo.values()]
    ends = np.cumsum(np.sqrt([len(faces) for faces in boxes]))
    return _Octave(photos, boxes, ends, share=len(photos) ** 0.5)
