"""What a training run depends on, all in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from s3fd.data import Augmentation
from s3fd.messages import shown
from s3fd.settings import Range, check_box_margins, check_settings

_Positive: TypeAlias = Annotated[int, Range(1)]
_Count: TypeAlias = Annotated[int, Range(0)]
_Weight: TypeAlias = Annotated[float, Range(0)]
_Factor: TypeAlias = Annotated[float, Range(0, above_low=True)]
_Decay: TypeAlias = Annotated[float, Range(0, 1, below_high=True)]
_Share: TypeAlias = Annotated[float, Range(0, 1)]

IouLoss = Literal["giou", "diou", "eiou"]
BoxLoss = Literal["smooth_l1", "giou", "diou", "eiou"]


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of one run.

    The defaults are those of ``configs/light.toml``, which also validates and calibrates.

    Attributes:
        data: dataset of photos with faces, in one of the forms of `s3fd.data.read_photos`.
        out: folder for checkpoints, the log and the weights.
        form: of the labels in `data`, by name; found out by default.
        classes: names of the classes that are faces in `data`, and in `validation` where its labels
            have classes; by default "face".
        distractors: what an earlier network found in the photos of `data`, at one size of them or
            several: JSON Lines of ``s3fd detect --json``. What meets no label there is shown as
            background, as often as `augmentation` says.
        box_margins: how much larger than labelled the faces of `data` are learned, for labels drawn
            tighter than boxes are wanted: ``(sides, top, bottom)``, in widths of a box at its left
            and at its right, and in heights. Photos of the validation keep their labels.
        cache: folder for the photos in decoded form, on a fast local disk of each machine: made
            once, and then nothing has to be decoded. About 0.6 MB a photo of 400 x 400 pixels.
        cache_side: longest side of the photos in `cache`, in pixels.
        corrupt_share: share of photos that may be unreadable, of those to train on and of those to
            validate on; by default as `s3fd.data.load_batches` says.
        model: ``"light"`` or ``"vgg16"``.
        imagenet: VGG16 weights in torchvision's layout to start ``vgg16`` from.
        weights: trained weights to start from, by the name of bundled ones or as a file, for a
            network that finds faces already and is to learn those of `data`. They have to be of
            `model`.
        max_out_background: three backgrounds on the finest level (section 3.3), instead of one.
        positive_iou: IoU from which an anchor is matched in the first stage (section 3.2).
        candidate_iou: IoU above which the second stage looks at an anchor.
        top_n: anchors that the second stage gives a face; by default the mean of the first stage,
            as the paper does; 0 leaves the second stage out.
        negative_ratio: mined backgrounds for each positive.
        empty_negatives: mined backgrounds of an image that has no positive; the paper's ratio gives
            it none.
        box_loss: ``"smooth_l1"`` of the four deltas as in the paper, or ``"giou"``, ``"diou"`` or
            ``"eiou"`` of the whole box, see `s3fd.training.box_fit`.
        box_weight: lambda of the paper's loss, ``class_loss + box_weight * box_loss``.
        steps: optimiser steps of the whole run.
        batch_size: images of a step at `input_size`, over all processes and all its parts.
        accumulate: parts in which a process computes the gradient of a step, one after the other.
        input_size: side of training inputs in pixels, a multiple of 32; see `augmentation`.
        augmentation: how photos become training inputs.
        optimizer: ``"adamw"``, or ``"sgd"`` with momentum as in the paper.
        learning_rate: of the optimiser, at its peak.
        momentum: of the optimiser ``"sgd"``.
        weight_decay: of convolution weights; biases and norms have none.
        warmup: steps over which the learning rate rises.
        schedule: how the learning rate falls: ``"cosine"`` to zero, in ``"steps"``, or ``"late"``:
            linearly to zero, but only in the last part of the run, of the length `decay`. Until
            then the length of a run does not matter, so that `steps` may be decided while it goes
            on.
        decay: share of the steps in which a ``"late"`` schedule falls.
        milestones: the steps from which the learning rate is multiplied by `milestone_factor`.
        milestone_factor: what the learning rate is multiplied by at each of `milestones`.
        clip: largest norm of the gradient, which is scaled down to it; 0 leaves it alone.
        average: decay of the moving average of the weights, which is what gets evaluated and kept;
            0 keeps the weights themselves.
        start_share: share of `weights` in what gets evaluated and kept: a mean with those that the
            run started from forgets less of what its own photos do not show (WiSE-FT, Wortsman et
            al., 2022). The run itself goes on without it.
        precision: ``"bfloat16"`` or ``"float16"`` autocast, ``"float32"``, or ``"auto"``: bfloat16
            where the hardware computes in it.
        channels_last: memory layout of the network.
        compile: run it through `torch.compile`.
        workers: processes that prepare batches, for each process that trains.
        augment_on: who makes the pixels of training images: the ``"workers"``, on the CPU, or the
            ``"device"`` that trains, from what the workers have drawn. The images are the same but
            for rounding.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; by default CUDA where there is one.
        seed: of weights and data.
        checkpoint_every: steps between checkpoints; there is one with every validation, too.
        validate_every: steps between validations; 0 for none.
        validation: dataset of the held-out photos, its split ``val``; by default that of `data`.
        validation_photos: of these, so many, evenly spread; 0 for all.
        validation_size: photos whose longest side is larger are shrunk to it, in pixels.
        calibrate: at the end, make scores mean what they say on the validation photos: of the
            detections with a score of 0.9, nine in ten are faces. Nothing happens without them.
        log_every: steps between two lines of the log.
        tensorboard: write scalars and pictures for TensorBoard.
    """

    data: Path
    out: Path
    form: str | None = None
    classes: tuple[str, ...] = ()
    distractors: tuple[Path, ...] = ()
    box_margins: tuple[float, ...] = (0.0, 0.0, 0.0)
    cache: Path | None = None
    cache_side: _Positive = 1024
    corrupt_share: _Share | None = None
    model: Literal["light", "vgg16"] = "light"
    imagenet: Path | None = None
    weights: Path | None = None
    max_out_background: bool = True
    positive_iou: _Share = 0.35
    candidate_iou: _Share = 0.1
    top_n: _Count | None = None
    negative_ratio: _Weight = 3.0
    empty_negatives: _Count = 64
    box_loss: BoxLoss = "giou"
    box_weight: _Weight = 16.0
    steps: _Positive = 46000
    batch_size: _Positive = 48
    accumulate: _Positive = 1
    input_size: int = 256
    augmentation: Augmentation = field(default_factory=Augmentation.small_inputs)
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: _Factor = 2e-3
    momentum: _Decay = 0.9
    weight_decay: _Weight = 0.02
    warmup: _Count = 500
    schedule: Literal["cosine", "steps", "late"] = "late"
    decay: _Share = 0.5
    milestones: tuple[int, ...] = ()
    milestone_factor: _Factor = 0.1
    clip: _Weight = 10.0
    average: _Decay = 0.999
    start_share: _Share = 0.0
    precision: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    channels_last: bool = True
    compile: bool = False
    workers: _Count = 2
    augment_on: Literal["workers", "device"] = "workers"
    device: str | None = None
    seed: _Count = 1
    checkpoint_every: _Positive = 500
    validate_every: _Count = 0
    validation: Path | None = None
    validation_photos: _Count = 0
    validation_size: _Positive = 1024
    calibrate: bool = False
    log_every: _Positive = 20
    tensorboard: bool = False

    def __post_init__(self) -> None:
        self._take_paths()
        check_settings(self)
        self._check_schedule()
        if self.imagenet is not None and self.model != "vgg16":
            raise ValueError("imagenet: only the vgg16 model starts from ImageNet weights")
        if self.imagenet is not None and self.weights is not None:
            raise ValueError("weights: a network starts from them or from imagenet, not from both")
        if self.start_share and self.weights is None:
            raise ValueError("start_share: there are no weights that the run starts from")
        if self.distractors and not self._shows_distractors():
            raise ValueError(
                'distractors: they are shown if augmentation.crop is "size" and '
                "augmentation.distractors is above 0"
            )
        check_box_margins(self.box_margins)
        if self.accumulate > self.batch_size:
            raise ValueError(
                f"accumulate: expected at most the {self.batch_size} images of batch_size, "
                f"got {self.accumulate}"
            )

    def _take_paths(self) -> None:
        """Makes paths of all that means one, since text is what callers have."""
        for name in ("data", "out", "cache", "imagenet", "weights", "validation"):
            value = getattr(self, name)
            if value is not None or name in ("data", "out"):
                object.__setattr__(self, name, _path(name, value))
        if isinstance(self.distractors, str | os.PathLike):
            raise TypeError(f"distractors: expected a list of files, got {shown(self.distractors)}")
        files = tuple(_path("distractors", file) for file in self.distractors)
        object.__setattr__(self, "distractors", files)

    def _shows_distractors(self) -> bool:
        return self.augmentation.crop == "size" and self.augmentation.distractors > 0

    def _check_schedule(self) -> None:
        rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        if not rising or (self.milestones and self.milestones[0] < 1):
            raise ValueError(
                f"milestones: expected steps that rise, from 1, got {list(self.milestones)}"
            )
        if self.schedule == "steps" and not self.milestones:
            raise ValueError("milestones: the schedule 'steps' needs at least one, got none")
        if self.schedule != "steps" and self.milestones:
            raise ValueError(
                f"milestones: the schedule {self.schedule!r} has none; use schedule 'steps'"
            )


def _path(name: str, value: str | os.PathLike[str]) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: expected a path, got {shown(value)}")
    return Path(value)
