"""Batches as a function of the seed and the step: the same whatever the workers, and resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from s3fd.data import augmentation
from s3fd.data.annotations import AnnotatedImage
from s3fd.data.augmentation import Sample
from s3fd.data.recipe import Augmentation


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
        whole: images of this step over all processes.
    """

    images: Tensor
    boxes: Tensor
    counts: list[int]
    ignore: Tensor
    ignore_counts: list[int]
    whole: int

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Batch:
        """The same on another device."""
        images, boxes, ignore = (
            tensor.to(device, non_blocking=non_blocking)
            for tensor in (self.images, self.boxes, self.ignore)
        )
        return Batch(images, boxes, self.counts, ignore, self.ignore_counts, self.whole)

    def split(self, parts: int) -> list[Batch]:
        """The images in `parts` pieces of about the same size."""
        images, number = len(self.counts), min(parts, len(self.counts))
        bounds = [images * part // number for part in range(number + 1)]
        boxes, ignore = self.boxes.split(self.counts), self.ignore.split(self.ignore_counts)
        return [
            Batch(
                self.images[a:b],
                torch.cat(boxes[a:b]),
                self.counts[a:b],
                torch.cat(ignore[a:b]),
                self.ignore_counts[a:b],
                self.whole,
            )
            for a, b in pairwise(bounds)
        ]


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
        augmentation: how photos become inputs.
        rank: of this process, which gets its share of every batch.
        world: how many processes there are.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        *,
        steps: int,
        batch_size: int,
        input_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        rank: int = 0,
        world: int = 1,
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
        self.augmentation = augmentation or Augmentation.small_inputs()
        self.rank, self.world = rank, world
        scales = self.augmentation.scales
        sizes = np.array([round(input_size * scale / 32) * 32 for scale in scales])
        counts = np.round(batch_size * (input_size / sizes) ** 2).astype(int)
        # Batch norm needs two values where the coarsest level has one cell.
        counts = np.maximum(min(2, batch_size), counts)
        if counts.min() < world:
            raise ValueError(
                f"batch_size: expected an image for each of {world} processes, got {batch_size}"
            )
        drawn = np.random.default_rng(seed).choice(
            len(sizes), size=steps, p=self.augmentation.scale_shares
        )
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
        first = int(self._ends[step - 1]) if step else 0
        whole = int(self._ends[step]) - first
        begin, end = (first + whole * (self.rank + i) // self.world for i in (0, 1))
        size = int(self._sizes[step])
        samples = [
            self._sample(position, size, np.random.default_rng([self.seed, position]))
            for position in range(begin, end)
        ]
        stacked = torch.from_numpy(np.stack([sample.image for sample in samples]))
        return Batch(
            images=stacked.permute(0, 3, 1, 2),
            boxes=torch.from_numpy(np.concatenate([sample.boxes for sample in samples])),
            counts=[len(sample.boxes) for sample in samples],
            ignore=torch.from_numpy(np.concatenate([sample.ignore for sample in samples])),
            ignore_counts=[len(sample.ignore) for sample in samples],
            whole=whole,
        )

    def _sample(self, position: int, size: int, rng: np.random.Generator) -> Sample:
        shares = (*self.augmentation.collage, 0.0, 0.0, 0.0)[:3]
        count = int(rng.choice((1, 2, 3, 4), p=(1 - sum(shares), *shares)))
        if rng.random() < self.augmentation.plain:
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


def load_batches(
    batches: TrainingBatches,
    *,
    start: int = 0,
    workers: int = 0,
    pin_memory: bool = False,
    corrupt_share: float | None = None,
    say: Callable[[str], object] | None = None,
) -> Iterator[Batch]:
    """The batches of a run from step `start` on, prepared by processes of their own."""
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=range(start, len(batches)),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),
    )
    try:
        yield from loader
    except ValueError as error:
        # What a worker raises arrives with its traceback as the message; the cause stands last.
        raise ValueError(str(error).rstrip().rsplit("\nValueError: ", 1)[-1]) from None
