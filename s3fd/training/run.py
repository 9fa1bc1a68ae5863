"""The state of a run, and what happens to it: steps, validations, checkpoints."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from s3fd.data import Batch
from s3fd.data.batches import input_sizes
from s3fd.data.formats.text import MALFORMED
from s3fd.evaluation.calibration import Calibration
from s3fd.messages import shown
from s3fd.models import S3FD, load_checkpoint, save_checkpoint
from s3fd.models.calibrate import fold_calibration
from s3fd.models.checkpoint import weights_path
from s3fd.models.imagenet import initialize_from_imagenet
from s3fd.training import files
from s3fd.training.batch_norm import synchronize_batch_norms
from s3fd.training.checkpoint import load_state, random_state, save_state, set_random_state
from s3fd.training.config import TrainingConfig
from s3fd.training.distributed import Processes
from s3fd.training.ema import move_towards, update_average
from s3fd.training.gradient import StepGradient
from s3fd.training.loss import DetectionLoss
from s3fd.training.optimizer import learning_rate, make_optimizer
from s3fd.training.precision import Precision


class Run:
    """Model, average, optimiser, scaler, and the step that they are at.

    Args:
        config: the settings.
        processes: all of them hold the same state.
        photos: how many the run is trained on; a run does not go on with other photos.

    Attributes:
        step: how many were done, which is also the position in the batches.
        best: the best average precision of a validation so far, at which step.
        awaits_validation: whether the checkpoint was saved before the validation of its step.
    """

    def __init__(self, config: TrainingConfig, processes: Processes, photos: int) -> None:
        self.config = config
        self.processes = processes
        self.photos = photos
        self.step = 0
        self.best: dict[str, float] = {}
        self.awaits_validation = False
        self.model = _new_model(config)
        torch.manual_seed(config.seed + processes.rank)
        memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        self.model.to(processes.device, memory_format=memory_format)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self._start = copy.deepcopy(self.average) if config.start_share else None
        if processes.size > 1:
            synchronize_batch_norms(self.model, processes.device)
        self.model.train()
        self.optimizer = make_optimizer(self.model, config)
        smallest = int(input_sizes(config.input_size, config.augmentation).min())
        self.precision = Precision(config.precision, processes.device, smallest)
        network = over_processes(self.model, processes)
        if config.compile:
            self.model.compile()
        self._gradient = StepGradient(
            model=self.model,
            network=network,
            loss=DetectionLoss.from_config(config, self.model.grid),
            precision=self.precision,
            processes=processes,
            parts=config.accumulate,
            box_weight=config.box_weight,
            memory_format=memory_format,
        )

    def advance(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """One optimiser step.

        Returns:
            This process's share of class and box loss, ``[2]``, and the norm of the gradient.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        scaler = self.precision.scaler
        losses = self._gradient(batch)
        scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip or math.inf)
        scaler.step(self.optimizer)
        scaler.update()
        self.optimizer.zero_grad()
        update_average(self.average, self.model, step=self.step, decay=self.config.average)
        self.step += 1
        # A step of float16 that overflows is skipped.
        return losses, norm.nan_to_num(0, 0, 0) if scaler.is_enabled() else norm

    def kept(self) -> S3FD:
        """What gets evaluated and written: the average, perhaps mixed with what it started from."""
        if self._start is None:
            return self.average
        mixed = copy.deepcopy(self.average)
        move_towards(mixed, self._start, self.config.start_share)
        return mixed

    def save(
        self, calibration: Calibration | None = None, *, awaits_validation: bool = False
    ) -> None:
        """Writes the checkpoint that ``--resume`` goes on from, and its weights before it.

        Args:
            calibration: changes the scores of these weights, and nothing of the checkpoint.
            awaits_validation: a run that goes on from it validates this step first.
        """
        self.awaits_validation = awaits_validation
        self._save(files.LAST, files.WEIGHTS, calibration)

    def save_if_best(self, average_precision: float) -> None:
        """Writes the same under other names, if no validation gave as much before."""
        if average_precision > self.best.get("average_precision", -math.inf):
            self.best = {"average_precision": average_precision, "step": self.step}
            self.awaits_validation = False
            self._save(files.BEST, files.BEST_WEIGHTS)

    def _save(self, name: str, weights_name: str, calibration: Calibration | None = None) -> None:
        random_states = self.processes.gather(random_state(self.processes.device))
        self.processes.on_first(
            lambda: self._write(name, weights_name, self._calibrated(calibration), random_states)
        )

    def _calibrated(self, calibration: Calibration | None) -> S3FD:
        if calibration is None:
            return self.kept()
        model = copy.deepcopy(self.kept())
        fold_calibration(model, shift=calibration.shift, scale=calibration.scale)
        return model

    def _write(
        self, name: str, weights_name: str, weights: S3FD, random_states: list[dict[str, Tensor]]
    ) -> None:
        out = self.config.out
        metadata = {"steps": str(self.step), "seed": str(self.config.seed)}
        save_checkpoint(weights, out / weights_name, metadata)
        state = {
            "step": self.step,
            "sampler": {"photos": self.photos},
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "random": random_states,
            "best": self.best,
            "awaits_validation": self.awaits_validation,
        }
        if self._start is not None:
            state["start"] = self._start.state_dict()
        save_state(out / name, self.config, self.model.config, state)

    def load(self) -> None:
        """Goes on from the checkpoint, which the first process reads.

        Raises:
            ValueError: it does not belong to this run, or has done more steps than wanted.
        """
        path = self.config.out / files.LAST
        state: dict[str, Any] = self.processes.on_first(
            lambda: load_state(path, self.config, self.model.config)
        )
        try:
            photos = state["sampler"]["photos"]
            if photos == self.photos:
                self._restore(state)
        except (*MALFORMED, RuntimeError) as error:
            raise ValueError(
                f"{path}: damaged: not all of the state of a run ({shown(error)}); go on from "
                f"another checkpoint, or start a new run"
            ) from error
        if photos != self.photos:
            raise ValueError(
                f"{path} belongs to a run with {shown(photos)} photos; data has {self.photos}; "
                "go on with the same data and, where its labels have no split 'val', with "
                "validate_every and validation as they were, since photos are held out for these"
            )
        if self.step > self.config.steps:
            raise ValueError(
                f"steps: expected at least the {self.step} that {path} has done, got "
                f"{self.config.steps}"
            )

    def _restore(self, state: dict[str, Any]) -> None:
        self.step = int(state["step"])
        self.best = state["best"]
        self.awaits_validation = bool(state.get("awaits_validation"))  # an older s3fd wrote none
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        if self._start is not None and "start" in state:  # its file may have changed
            self._start.load_state_dict(state["start"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.precision.scaler.load_state_dict(state["scaler"])
        if len(state["random"]) == self.processes.size:
            set_random_state(state["random"][self.processes.rank], self.processes.device)


def _new_model(config: TrainingConfig) -> S3FD:
    torch.manual_seed(config.seed)
    backgrounds = 3 if config.max_out_background else 1
    if config.weights is not None:
        return _trained_model(config.weights, config.model, backgrounds)
    model = S3FD(config.model, backgrounds=backgrounds)
    if config.imagenet is not None:
        initialize_from_imagenet(model, config.imagenet)
    return model


def _trained_model(weights: Path, backbone: str, backgrounds: int) -> S3FD:
    model = load_checkpoint(weights_path(weights))
    found = model.config.backbone, model.config.backgrounds
    if found != (backbone, backgrounds):
        raise ValueError(
            f"weights: expected those of {backbone} with {backgrounds} background logits on the "
            f"finest level, as model and max_out_background say; {weights} has {found[0]} with "
            f"{found[1]}"
        )
    return model


def over_processes(model: S3FD, processes: Processes) -> S3FD | DistributedDataParallel:
    """The network whose gradients are those of all processes."""
    if processes.size == 1:
        return model
    network = DistributedDataParallel(
        model,
        device_ids=[processes.device] if processes.device.type == "cuda" else None,
    )
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8, device=processes.device)
    _settle_buckets(network, model.preprocess(images))
    return network


def _settle_buckets(network: DistributedDataParallel, x: Tensor) -> None:
    """Takes a first gradient, and forgets it.

    After the first one, the buckets in which gradients are exchanged are rearranged, and sums over
    more than two processes are rounded in another order. That must not happen amid a run, since a
    resumed one has a first gradient, too.
    """
    training = network.training
    network.eval()  # the statistics of batch norms stay as they are
    logits, deltas = network(x)
    torch.stack([level.sum() for level in (*logits, *deltas)]).sum().backward()
    network.zero_grad()
    network.train(training)
