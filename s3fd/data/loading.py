"""Batches from worker processes, and what becomes of photos that can't be read."""

from __future__ import annotations

import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from s3fd.data.batches import Batch, PlannedBatch, TrainingBatches
from s3fd.devices import resolve_device
from s3fd.images import ImageError

CORRUPT_SHARE = 0.01
_CORRUPT_IN_A_SMALL_SET = 10
_NICENESS = 10
# What each of several processes has skipped is told to all of them after so many steps.
_STEPS_BETWEEN_TALES = 20


class CorruptPhotosError(ValueError):
    """Too many photos can't be read."""


def load_batches(
    batches: TrainingBatches,
    *,
    start: int = 0,
    workers: int = 0,
    pin_memory: bool = False,
    render_on: torch.device | str | None = None,
    low_priority: bool = False,
    corrupt_share: float | None = None,
    say: Callable[[str], object] | None = None,
    gather: Callable[[object], list[Any]] | None = None,
) -> Iterator[Batch]:
    """The batches of a run from a step on, made by worker processes.

    Each photo that can't be read is named once, with the reason, and others take its place. When
    every photo has been shown once, or at the end of a shorter run, it is said how many faces
    became ignore boxes because they were too small after the scaling.

    Args:
        batches: the run.
        start: the first step.
        workers: processes that make batches; 0: this one does.
        pin_memory: give batches in page-locked memory, for copies to a GPU that do not wait.
        render_on: the device that makes the pixels of the images, from what the workers have drawn;
            all of a batch is then there. By default the workers make them, on the CPU. Both give
            the same images but for rounding.
        low_priority: let workers yield to all else, for a network that computes on the same cores:
            its step waits for the slowest of them, and is over sooner if nobody interrupts it.
        corrupt_share: the share of the photos that may be unreadable, from 0 to 1. None: 0.01, and
            ten photos in a small set, but never more than half of a set.
        say: takes the messages; None: `warnings.warn`.
        gather: of several processes that share a run's steps: gives all of them what each has
            passed. They count and say the same then, and all end if one of them does.

    Raises:
        CorruptPhotosError: (a ValueError) more photos than that can't be read.
        ValueError: a setting is not as described, or there is no such device.
    """
    if workers < 0:
        raise ValueError(f"workers: expected at least 0, got {workers}")
    if not 0 <= start <= len(batches):
        raise ValueError(f"start: expected 0 to the {len(batches)} steps of batches, got {start}")
    if render_on is not None:
        render_on = resolve_device(render_on)
    watch = _Watch(len(batches.photos), corrupt_share, say or _warn, gather)
    loader = DataLoader(
        batches if render_on is None else _Plans(batches),
        batch_size=None,
        sampler=range(start, len(batches)),
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        pin_memory=pin_memory,
        worker_init_fn=partial(_start_worker, low_priority=low_priority),
    )
    iterator = iter(loader)
    in_first_epoch = batches.first_position(start) < len(batches.photos)
    for step in range(start, len(batches)):
        try:
            drawn = next(iterator)
        except ImageError as error:
            # What a worker raises arrives with its traceback as the message; the cause stands last.
            cause = re.sub(r"(?s).*\n[\w.]*Error: ", "", str(error).rstrip())
            raise CorruptPhotosError(cause) from None
        batch = drawn if render_on is None else drawn.batch
        shown_once = batches.first_position(step + 1) >= len(batches.photos)
        ends = step + 1 == len(batches)
        counts_faces = in_first_epoch and (shown_once or ends)
        watch.see(batch, last=ends or counts_faces)
        if counts_faces:
            in_first_epoch = False
            watch.count_faces()
        yield batch if render_on is None else drawn.render(render_on)


class _Plans(Dataset[PlannedBatch]):
    """The batches of a run before their images are made."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> PlannedBatch:
        return self._batches.planned(step)


def _start_worker(number: int, *, low_priority: bool) -> None:
    if low_priority and hasattr(os, "nice"):
        os.nice(_NICENESS)
    # Ctrl-C reaches all processes; the training process ends its workers itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", module="PIL")


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=4)


class SkippedPhotos:
    """The photos of a set that can't be read: each is named once, and too many are an error.

    Args:
        photos: how many the set has.
        corrupt_share: as for `load_batches`.
        say: takes the messages.
        name: what one of them is called there.
    """

    def __init__(
        self,
        photos: int,
        corrupt_share: float | None,
        say: Callable[[str], object],
        name: str = "photo",
    ) -> None:
        if corrupt_share is not None and not 0 <= corrupt_share <= 1:
            raise ValueError(f"corrupt_share: expected 0 to 1, got {corrupt_share}")
        self._photos = photos
        self._allowed = int(photos * (CORRUPT_SHARE if corrupt_share is None else corrupt_share))
        if corrupt_share is None:
            self._allowed = max(self._allowed, min(_CORRUPT_IN_A_SMALL_SET, photos // 2))
        self._say = say
        self._name = name
        self._paths: set[str] = set()

    def add(self, skipped: Mapping[str, str]) -> None:
        """Notes what was skipped, and why, by path; again and again, if need be.

        Raises:
            CorruptPhotosError: more photos than `corrupt_share` of them can't be read.
        """
        for path, reason in skipped.items():
            if path not in self._paths:
                self._paths.add(path)
                self._last = reason
                self._say(f"a {self._name} is skipped: {reason}")
        if len(self._paths) > self._allowed:
            raise CorruptPhotosError(
                f"{len(self._paths)} of {self._photos} {self._name}s can't be read, and at most "
                f"{self._allowed} may be; the last is {self._last}"
            )


@dataclass
class _Seen:
    """What one process has seen lately."""

    skipped: dict[str, str] = field(default_factory=dict)
    faces: int = 0
    tiny: int = 0


class _Watch:
    """What has come to light about the photos of a run."""

    def __init__(
        self,
        photos: int,
        corrupt_share: float | None,
        say: Callable[[str], object],
        gather: Callable[[object], list[Any]] | None,
    ) -> None:
        self._skipped = SkippedPhotos(photos, corrupt_share, say)
        self._say = say
        self._gather = gather
        self._lately = _Seen()
        self._steps = self._faces = self._tiny = 0

    def see(self, batch: Batch, *, last: bool) -> None:
        """Notes a step; after the last one all that was seen is known."""
        self._lately.skipped |= batch.skipped
        self._lately.faces += sum(batch.counts)
        self._lately.tiny += batch.tiny
        self._steps += 1
        if self._gather is None or last or self._steps % _STEPS_BETWEEN_TALES == 0:
            self._tell()

    def _tell(self) -> None:
        lately, self._lately = self._lately, _Seen()
        seen: list[_Seen] = [lately] if self._gather is None else self._gather(lately)
        self._faces += sum(each.faces for each in seen)
        self._tiny += sum(each.tiny for each in seen)
        for each in seen:
            self._skipped.add(each.skipped)

    def count_faces(self) -> None:
        if self._tiny:
            self._say(
                f"of the first {self._faces + self._tiny} faces shown, {self._tiny} were too small "
                "after the scaling (under 6 pixels), and became ignore boxes"
            )
