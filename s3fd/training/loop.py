"""The training loop: on one process or, under torchrun, on many; resumable at every checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch

from s3fd.data import Batch, PhotoCache, TrainingBatches, load_batches
from s3fd.data.graphics import typefaces
from s3fd.data.photo import Opener, open_photo
from s3fd.evaluation import PrecisionRecall
from s3fd.evaluation.calibration import Calibration, fit_calibration
from s3fd.memory import keep_freed_memory
from s3fd.training import files
from s3fd.training.config import TrainingConfig
from s3fd.training.distributed import Processes, join_processes
from s3fd.training.events import Events, check_tensorboard
from s3fd.training.log import RunLog
from s3fd.training.meter import FloatEntry, Meter
from s3fd.training.optimizer import learning_rate
from s3fd.training.photos import RunPhotos
from s3fd.training.progress import ProgressLine
from s3fd.training.run import Run
from s3fd.training.step_sizes import check_step_sizes
from s3fd.training.validation import Validation
from s3fd.training.workers import within_processors


def train(
    config: TrainingConfig,
    *,
    resume: bool = False,
    auto_resume: bool = False,
    progress: bool = True,
) -> Path:
    """Trains a detector, or goes on with a run that was interrupted.

    Under ``torchrun`` all its processes train one model. A process that torchrun has restarted,
    since one of them had died, resumes without being told to.

    Args:
        config: the settings.
        resume: continue from the checkpoint in ``config.out``.
        auto_resume: continue if there is a checkpoint, and start otherwise.
        progress: show how far the run is.

    Returns:
        The file of the averaged weights, ``config.out/model.safetensors``. Beside it lie
        ``last.pt`` (the state for `resume`), ``log.jsonl`` (losses and speed), and of the best
        validation ``best.pt`` and ``best.safetensors``.

    Raises:
        FileExistsError: ``config.out`` holds a run already and `resume` is not set.
        FileNotFoundError: there is no data, no such typeface, or nothing to resume.
        FloatingPointError: the loss is no longer finite. The last checkpoint was written before.
        ImportError: TensorBoard is wanted and not installed.
        ValueError: the settings do not fit the data, or the checkpoint.
    """
    if config.tensorboard:
        check_tensorboard()
    with join_processes(config.device) as processes:
        if processes.device.type == "cpu":
            keep_freed_memory()
        goes_on = processes.on_first(
            lambda: _continues(config, processes, resume=resume, auto_resume=auto_resume)
        )
        return _Loop(config, processes, progress=progress).run(resume=goes_on)


def _continues(
    config: TrainingConfig, processes: Processes, *, resume: bool, auto_resume: bool
) -> bool:
    """Whether there is a checkpoint to go on from, if that was asked for."""
    there = (config.out / files.LAST).is_file()
    run = str(config.out.resolve())
    if auto_resume or processes.has_begun(run):
        return there
    if resume and not there:
        raise FileNotFoundError(
            f"out: {config.out / files.LAST} does not exist; start without --resume"
        )
    if there and not resume:
        raise FileExistsError(
            f"out: {config.out} holds a run already; continue it with --resume, or name another"
        )
    processes.note_begun(run)
    return resume


def doubtful_start(config: TrainingConfig) -> str | None:
    """What speaks against the weights that a new run starts from."""
    if config.model != "vgg16" or config.imagenet is not None or config.weights is not None:
        return None
    return (
        "imagenet: VGG16 starts from random weights, which takes far longer and ends worse; "
        "torchvision's vgg16 weights would help, as the file imagenet"
    )


# By one of these names an entry of the log is known that a validation writes.
_OF_A_VALIDATION = ("average_precision", "shift")


class _Loop:
    """A run with everything around it: batches, validation, log, progress."""

    def __init__(self, config: TrainingConfig, processes: Processes, *, progress: bool) -> None:
        config, self.about_workers = within_processors(config)
        self.config = config
        self.processes = processes
        self.speaks = progress and processes.is_first
        # What can't be is told before photos are decoded.
        typefaces(config.augmentation.fonts)
        check_step_sizes(config, processes.size)
        self.photos = RunPhotos.from_config(config)
        self.batches = TrainingBatches(
            self.photos.training.photos,
            steps=config.steps,
            batch_size=config.batch_size,
            input_size=config.input_size,
            seed=config.seed,
            augmentation=config.augmentation,
            rank=processes.rank,
            world=processes.size,
            open_photo=self._cached() if config.cache else open_photo,
        )
        self.validation: Validation | None = None
        if self.photos.validation is not None:
            self.validation = Validation.of(
                self.photos.validation.photos, config, processes, lambda line: self.line.say(line)
            )
        self.state = Run(config, processes, len(self.photos.training.photos))
        self.meter = Meter(processes)

    def _cached(self) -> Opener:
        """Opens photos from the cache, which the first process of each machine completes."""
        config = self.config
        assert config.cache is not None
        folder, side = config.cache, config.cache_side

        def complete() -> None:
            with ProgressLine(
                len(self.photos.training.photos), 0, enabled=self.speaks, subject="decoding photos"
            ) as line:
                PhotoCache(folder, max_side=side).add(
                    self.photos.training.photos,
                    workers=config.workers,
                    progress=line.count,
                    say=line.say,
                )

        self.processes.on_each_machine(complete)
        return PhotoCache(folder, max_side=side).open

    def run(self, *, resume: bool) -> Path:
        if resume:
            self.state.load()
        self.processes.on_first(self._prepare_folder)
        first, step = self.processes.is_first, self.state.step
        validates = self.validation is not None and self.state.awaits_validation
        tensorboard = self.config.tensorboard and first
        again = _OF_A_VALIDATION if validates else ()
        self.log = RunLog(self.config.out / files.LOG, step, again) if first else None
        self.events = Events(self.config.out / "tensorboard" if tensorboard else None, step)
        with (
            closing(self.events),
            ProgressLine(self.config.steps, step, enabled=self.speaks) as self.line,
        ):
            for line in self._notes():
                self.line.say(line)
            if self.validation is not None:
                self.validation.open_all()
            if validates:
                self._validate()
            for batch, waited in _timed(self._load(step)):
                self._advance(batch, waited)
        return self.config.out / files.WEIGHTS

    def _notes(self) -> Iterator[str]:
        """What is said before the first step."""
        yield from self.photos.summary()
        if self.about_workers is not None:
            yield self.about_workers
        warning = doubtful_start(self.config)
        if warning is not None and self.state.step == 0:
            yield f"warning: {warning}"

    def _prepare_folder(self) -> None:
        self.config.out.mkdir(parents=True, exist_ok=True)
        files.remove_unfinished(self.config.out)

    def _load(self, step: int) -> Iterator[Batch]:
        device = self.processes.device
        return load_batches(
            self.batches,
            start=step,
            workers=self.config.workers,
            pin_memory=device.type == "cuda",
            render_on=device if self.config.augment_on == "device" else None,
            low_priority=device.type == "cpu",
            corrupt_share=self.config.corrupt_share,
            say=self.line.say if self.processes.is_first else _silent,
            gather=self.processes.gather_to_all if self.processes.size > 1 else None,
        )

    def _advance(self, batch: Batch, waited: float) -> None:
        losses, norm = self.state.advance(batch)
        self.meter.add(losses, norm, batch.whole, waited)
        step = self.state.step
        self.line.advance(step)
        validates = self.validation is not None and self._is_due(self.config.validate_every)
        saves = validates or self._is_due(self.config.checkpoint_every)
        if saves or step % self.config.log_every == 0:
            self._report()
        if saves:
            self.events.batch(step, batch)
            self.state.save(awaits_validation=validates)
        if validates:
            self._validate()
        if saves:
            self.meter.restart()

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.config.steps

    def _report(self) -> None:
        """Logs what was measured lately; nothing is saved of a run that has gone astray."""
        step = self.state.step
        entry = {
            "learning_rate": learning_rate(self.config, step - 1),
            **self.meter.read(),
        }
        for name in ("class_loss", "box_loss", "gradient_norm"):
            if not math.isfinite(entry[name]):
                raise FloatingPointError(
                    f"{name} is {entry[name]} at step {step}; lower learning_rate, or use "
                    "precision float32"
                )
        self._write(entry)
        self.line.report(step, entry)

    def _validate(self) -> None:
        """What a step ends with that was saved before: nothing of it is lost if this fails."""
        assert self.validation is not None
        step = self.state.step
        curve = self.validation.curve(self.state.kept(), self.events, step)
        average_precision = curve.average_precision
        self._write({"average_precision": average_precision})
        self.state.save_if_best(average_precision)
        best = self.state.best
        self.line.say(
            f"step {step}: average precision {average_precision:.4f} "
            f"(best {best['average_precision']:.4f} at step {best['step']:.0f})"
        )
        calibrates = self.config.calibrate and step == self.config.steps
        self.state.save(self._calibration(curve) if calibrates else None)

    def _calibration(self, curve: PrecisionRecall) -> Calibration | None:
        """What makes the scores of the weights mean something; what the run goes on from stays."""
        step = self.state.step
        try:
            calibration = self.processes.on_first(lambda: fit_calibration(*curve.outcomes()))
        except ValueError as error:  # too few photos, or a network that finds nothing yet
            self.line.say(f"step {step}: scores are left as they are; {error}")
            return None
        self._write({"shift": calibration.shift, "scale": calibration.scale})
        self.line.say(
            f"step {step}: scores calibrated on the validation photos: log-odds z become "
            f"(z - {calibration.shift:.3f}) / {calibration.scale:.3f}"
        )
        return calibration

    def _write(self, entry: FloatEntry) -> None:
        if self.log is not None:
            rounded = {name: float(f"{value:.6g}") for name, value in entry.items()}
            self.log.write({"step": self.state.step, **rounded})
        self.events.scalars(self.state.step, entry)


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Each batch, and for how many seconds it was waited for.

    What making it draws is no part of the run's random numbers: a loader draws a seed when it
    starts, and a resumed run has one more start.
    """
    while True:
        start = time.perf_counter()
        with torch.random.fork_rng(devices=()):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch, time.perf_counter() - start


def _silent(message: str) -> None:
    """What all processes find, the first one says."""
