"""Batches as a function of the seed and the step: the same whatever the workers, and resumable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from s3fd.data.annotations import AnnotatedImage
from s3fd.data.packing import PackedImages, pack
from s3fd.data.photo import Opener, open_photo
from s3fd.data.plans import Pixels, pixels_of
from s3fd.data.recipe import Augmentation
from s3fd.data.rendering import render
from s3fd.data.samples import TrainingSamples


@dataclass(frozen=True, eq=False)
class Batch:
    """One step's input, or one process's share of it.

    Attributes:
        images: uint8 ``[B, 3, S, S]``, RGB (channels last in memory).
        boxes: float32 ``[T, 4]``, the faces of all images, one after the other: two tensors cross
            from a worker process much faster than two an image.
        counts: how many faces each image has.
        ignore: float32 ``[I, 4]``, the ignore boxes, likewise.
        ignore_counts: how many ignore boxes each image has.
        whole: how many images the step has over all processes.
        tiny: how many faces became ignore boxes because they are too small after the scaling.
        skipped: the path of each photo that couldn't be read, and why; others took their places.
    """

    images: Tensor
    boxes: Tensor
    counts: list[int]
    ignore: Tensor
    ignore_counts: list[int]
    whole: int
    tiny: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory; a `DataLoader` that pins calls it."""
        return self._map(Tensor.pin_memory)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            images=function(self.images),
            boxes=function(self.boxes),
            ignore=function(self.ignore),
        )

    def split(self, parts: int) -> list[Batch]:
        """The batch in consecutive parts of nearly the same size, for gradient accumulation.

        A batch with fewer images than `parts` gives one part an image.

        Raises:
            ValueError: `parts` is below 1.
        """
        if parts < 1:
            raise ValueError(f"parts: expected at least 1, got {parts}")
        parts = min(parts, len(self.counts))
        edges = [len(self.counts) * part // parts for part in range(parts + 1)]
        return [self._rows(begin, end) for begin, end in pairwise(edges)]

    def _rows(self, begin: int, end: int) -> Batch:
        faces = slice(sum(self.counts[:begin]), sum(self.counts[:end]))
        ignored = slice(sum(self.ignore_counts[:begin]), sum(self.ignore_counts[:end]))
        return replace(
            self,
            images=self.images[begin:end],
            boxes=self.boxes[faces],
            counts=self.counts[begin:end],
            ignore=self.ignore[ignored],
            ignore_counts=self.ignore_counts[begin:end],
        )


def input_sizes(input_size: int, augmentation: Augmentation) -> NDArray[np.int64]:
    """Sides of the images at each of `Augmentation.scales`, multiples of 32 from 64 on.

    Raises:
        ValueError: `input_size` is no multiple of 32 of at least 64.
    """
    if input_size < 64 or input_size % 32:
        raise ValueError(f"input_size: expected a multiple of 32 of at least 64, got {input_size}")
    scaled = np.round(input_size * np.array(augmentation.scales) / 32).astype(np.int64) * 32
    return np.maximum(scaled, 64)


def image_counts(batch_size: int, input_size: int, augmentation: Augmentation) -> NDArray[np.int64]:
    """How many images a step has at each of `Augmentation.scales`: about as many pixels."""
    sizes = input_sizes(input_size, augmentation)
    counts = np.round(batch_size * (input_size / sizes) ** 2).astype(np.int64)
    # Batch norm needs two values where the coarsest level has one cell.
    return np.maximum(min(2, batch_size), counts)


@dataclass(frozen=True, eq=False)
class PlannedBatch:
    """One step's input before its images are made.

    Attributes:
        batch: all else.
        packed: the images.
    """

    batch: Batch
    packed: PackedImages

    def pin_memory(self) -> PlannedBatch:
        """The batch in page-locked memory; a `DataLoader` that pins calls it."""
        return PlannedBatch(self.batch.pin_memory(), self.packed.map(Tensor.pin_memory))

    def render(self, device: torch.device | str) -> Batch:
        """Makes the images on a device, where all of the batch then is."""
        moved = self.batch.to(device, non_blocking=True)
        return replace(moved, images=render(self.packed, device))


class TrainingBatches(Dataset[Batch]):
    """All batches of a run; item ``step`` depends on `seed` and ``step`` alone.

    Hence a resumed run sees what an uninterrupted one would have seen, and neither the number of
    worker processes nor that of training processes changes what a step shows: of the ``n`` images
    of a step, process `rank` of `world` gets ``n * rank // world`` to ``n * (rank + 1) // world``.

    Args:
        images: the photos.
        steps: how many batches the run has.
        batch_size: images of a step over all processes, at the scale 1; larger inputs get fewer.
        input_size: side of the inputs at the scale 1, a multiple of 32.
        seed: of everything random.
        augmentation: by default that of the paper.
        rank: which process this is, from 0.
        world: how many processes there are.
        open_photo: opens a photo: its file, or what a `PhotoCache` holds of it.

    Raises:
        ValueError: a setting is not as described, no photo has a face, or a step would leave a
            process without an image.
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
        open_photo: Opener = open_photo,
    ) -> None:
        if batch_size < 1 or steps < 1:
            raise ValueError(
                f"batch_size and steps: expected at least 1, got {batch_size} and {steps}"
            )
        if not 0 <= rank < world:
            raise ValueError(f"rank: expected 0 to {world - 1}, got {rank}")
        augmentation = augmentation or Augmentation()
        self._samples = TrainingSamples(images, augmentation, seed, open_photo)
        self._rank, self._world = rank, world
        sizes = input_sizes(input_size, augmentation)
        counts = image_counts(batch_size, input_size, augmentation)
        fewest = counts[np.array(augmentation.scale_shares) > 0].min()
        if fewest < world:
            raise ValueError(
                f"batch_size: some steps have {fewest} images, too few for {world} processes"
            )
        rng = np.random.default_rng(seed)
        drawn = rng.choice(len(sizes), size=steps, p=augmentation.scale_shares)
        self._sizes = sizes[drawn]
        self._ends = np.cumsum(counts[drawn])

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def photos(self) -> Sequence[AnnotatedImage]:
        """The photos of an epoch: those with faces alone, where the others can't be used."""
        return self._samples.photos

    @property
    def samples(self) -> int:
        """How many training images the whole run has, over all processes."""
        return int(self._ends[-1])

    def first_position(self, step: int) -> int:
        """How many images, over all processes, the steps before this one have."""
        return int(self._ends[step - 1]) if step else 0

    def __getitem__(self, step: int) -> Batch:
        batch, images = self._drawn(step, plans=False)
        stacked = torch.from_numpy(np.stack([pixels_of(image) for image in images]))
        return replace(batch, images=stacked.permute(0, 3, 1, 2))

    def planned(self, step: int) -> PlannedBatch:
        """The same batch before its images are made, for a device that makes them."""
        batch, images = self._drawn(step, plans=True)
        return PlannedBatch(batch, pack(images))

    def _drawn(self, step: int, *, plans: bool) -> tuple[Batch, list[Pixels]]:
        """A batch without its images, and these."""
        begin, size = self.first_position(step), int(self._sizes[step])
        whole = int(self._ends[step]) - begin
        rows = (begin + whole * edge // self._world for edge in (self._rank, self._rank + 1))
        drawn = [self._samples.draw(position, size, plans=plans) for position in range(*rows)]
        samples = [sample for sample, _ in drawn]
        batch = Batch(
            images=torch.empty(0, 3, size, size, dtype=torch.uint8),
            boxes=torch.from_numpy(np.concatenate([sample.boxes for sample in samples])),
            counts=[len(sample.boxes) for sample in samples],
            ignore=torch.from_numpy(np.concatenate([sample.ignore for sample in samples])),
            ignore_counts=[len(sample.ignore) for sample in samples],
            whole=whole,
            tiny=sum(sample.tiny for sample in samples),
            skipped={path: why for _, skipped in drawn for path, why in skipped.items()},
        )
        return batch, [sample.image for sample in samples]
