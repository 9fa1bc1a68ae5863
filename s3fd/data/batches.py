"""Batches as a function of the seed and the step: the same whatever the workers, and resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from s3fd.data import augmentation
from s3fd.data.annotations import AnnotatedImage
from s3fd.data.augmentation import Sample

# Input sizes relative to the base size, and how often a step uses each. A batch holds about the
# same number of pixels at every size, so that each step costs the same; the larger inputs teach
# the coarse levels, whose anchors do not fit into the base size.
SCALES = (1.0, 1.25, 1.75, 2.5)
SCALE_SHARES = (0.35, 0.1, 0.15, 0.4)
# How many photos a side a sample shows, and how often: collages make small faces occur.
COLLAGES = (1, 2, 3, 4)
COLLAGE_SHARES = (0.66, 0.22, 0.08, 0.04)
# How many samples are a small patch on a plain ground: photos have walls and skies, and to the
# coarse levels, which see little but smooth surfaces, these look like large faces.
PLAIN_SHARE = 0.3


@dataclass(frozen=True)
class Batch:
    """One step's input.

    Attributes:
        images: uint8 ``[B, 3, S, S]``, RGB (channels last in memory).
        boxes: float32 ``[T, 4]``, the faces of all images, one after the other: two tensors cross
            from a worker process much faster than two an image.
        counts: how many faces each image has.
        ignore: float32 ``[I, 4]``, the ignore boxes, likewise.
        ignore_counts: how many ignore boxes each image has.
    """

    images: Tensor
    boxes: Tensor
    counts: list[int]
    ignore: Tensor
    ignore_counts: list[int]


class TrainingBatches(Dataset[Batch]):
    """All batches of a run; item ``step`` depends on `seed` and ``step`` alone.

    Hence a resumed run sees what an uninterrupted one would have seen, and the number of workers
    changes nothing.

    Args:
        images: the photos.
        steps: how many batches the run has.
        batch_size: images of a batch at the base size; larger inputs get fewer.
        input_size: the base size, a multiple of 32.
        seed: of everything random.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        *,
        steps: int,
        batch_size: int,
        input_size: int,
        seed: int,
    ) -> None:
        if input_size < 64 or input_size % 32:
            raise ValueError(
                f"input_size: expected a multiple of 32 of at least 64, got {input_size}"
            )
        if batch_size < 1 or steps < 1:
            raise ValueError(
                f"batch_size and steps: expected at least 1, got {batch_size} and {steps}"
            )
        self.images = images
        self.seed = seed
        sizes = np.array([round(input_size * scale / 32) * 32 for scale in SCALES])
        counts = np.round(batch_size * (input_size / sizes) ** 2).astype(int)
        # Batch norm needs two values where the coarsest level has one cell.
        counts = np.maximum(min(2, batch_size), counts)
        drawn = np.random.default_rng(seed).choice(len(sizes), size=steps, p=SCALE_SHARES)
        self._sizes = sizes[drawn]
        self._ends = np.cumsum(counts[drawn])
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def samples(self) -> int:
        """How many training images the whole run has."""
        return int(self._ends[-1])

    def __getitem__(self, step: int) -> Batch:
        begin = int(self._ends[step - 1]) if step else 0
        size = int(self._sizes[step])
        samples = [
            self._sample(position, size, np.random.default_rng([self.seed, position]))
            for position in range(begin, int(self._ends[step]))
        ]
        stacked = torch.from_numpy(np.stack([sample.image for sample in samples]))
        return Batch(
            images=stacked.permute(0, 3, 1, 2),
            boxes=torch.from_numpy(np.concatenate([sample.boxes for sample in samples])),
            counts=[len(sample.boxes) for sample in samples],
            ignore=torch.from_numpy(np.concatenate([sample.ignore for sample in samples])),
            ignore_counts=[len(sample.ignore) for sample in samples],
        )

    def _sample(self, position: int, size: int, rng: np.random.Generator) -> Sample:
        count = int(rng.choice(COLLAGES, p=COLLAGE_SHARES))
        if rng.random() < PLAIN_SHARE:
            tile = _tile(self._image(position), size // int(rng.integers(2, 6)), rng)
            return augmentation.place(tile, augmentation.plain(size, rng), rng)
        tile = _tile(self._image(position), size // count, rng)
        if count == 1 and len(tile.boxes):
            return tile
        if count == 1:
            # Negatives are mined in proportion to an image's faces: without any it teaches nothing.
            count = 2
            tile = _tile(self._image(position), size // count, rng)
        tiles = [tile]
        while len(tiles) < count * count:
            other = self.images[int(rng.integers(len(self.images)))]
            tiles.append(_tile(other, size // count, rng))
        return _pad(augmentation.collage(tiles, count), size)

    def _image(self, position: int) -> AnnotatedImage:
        """The photo at a position of the endless sequence of shuffled epochs."""
        epoch, index = divmod(position, len(self.images))
        if epoch not in self._permutations:
            rng = np.random.default_rng([self.seed, 1, epoch])
            self._permutations = {epoch: rng.permutation(len(self.images))}
        return self.images[int(self._permutations[epoch][index])]


def _tile(annotated: AnnotatedImage, size: int, rng: np.random.Generator) -> Sample:
    """One augmented square patch of a photo."""
    patch = augmentation.square_patch(annotated, rng)
    tile = augmentation.crop(annotated, patch, size, augmentation.colour_distortion(rng))
    return augmentation.flip(tile) if rng.random() < 0.5 else tile


def _pad(sample: Sample, size: int) -> Sample:
    """Fills up what an uneven collage leaves free at the right and the bottom."""
    missing = size - sample.image.shape[0]
    if not missing:
        return sample
    image = np.pad(sample.image, ((0, missing), (0, missing), (0, 0)), mode="edge")
    return Sample(image, sample.boxes, sample.ignore)
