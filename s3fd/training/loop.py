"""The training loop: one process, resumable at every checkpoint."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from s3fd.data import Augmentation, Batch, TrainingBatches, load_batches, read_photos
from s3fd.models import S3FD, save_checkpoint
from s3fd.models.imagenet import initialize_from_imagenet
from s3fd.training.checkpoint import load_state, save_state
from s3fd.training.config import TrainingConfig
from s3fd.training.loss import detection_loss
from s3fd.training.schedule import learning_rate_factor, update_average

WEIGHTS_NAME = "model.safetensors"
LOG_NAME = "log.jsonl"
LOG_EVERY = 20


def train(config: TrainingConfig, *, resume: bool = False, progress: bool = True) -> Path:
    """Trains a detector, or goes on with a run that was interrupted.

    Args:
        config: the settings.
        resume: continue from the checkpoint in ``config.out``.
        progress: draw a progress bar.

    Returns:
        The file of the averaged weights, ``config.out/model.safetensors``. Beside it lie
        ``checkpoint.pt`` (the state for `resume`) and ``log.jsonl`` (losses and speed).

    Raises:
        FileExistsError: ``config.out`` holds a run already and `resume` is not set.
        FileNotFoundError: there is no data, or nothing to resume.
        FloatingPointError: the loss is no longer finite.
    """
    if not resume and (config.out / "checkpoint.pt").exists():
        raise FileExistsError(
            f"out: {config.out} holds a run already; continue it with --resume, or name another"
        )
    photo_set = read_photos(config.data, "train")
    batches = TrainingBatches(
        photo_set.photos,
        steps=config.steps,
        batch_size=config.batch_size,
        input_size=config.input_size,
        seed=config.seed,
        augmentation=Augmentation.small_inputs(),
    )
    run = _Run(config)
    if resume:
        run.load()
    config.out.mkdir(parents=True, exist_ok=True)
    with Progress(
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        disable=not progress,
    ) as bar:
        task = bar.add_task("", total=config.steps, completed=run.step)
        for batch in load_batches(batches, start=run.step, workers=config.workers):
            bar.update(task, advance=1, description=run.advance(batch))
            if run.step % config.checkpoint_every == 0 or run.step == config.steps:
                run.save()
    return config.out / WEIGHTS_NAME


class _Run:
    """The state of a run: model, average, optimiser and step."""

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.step = 0
        self.device = torch.device(
            config.device or ("cuda" if torch.cuda.is_available() else "cpu")
        )
        self.bfloat16 = _use_bfloat16(config.precision, self.device)
        torch.manual_seed(config.seed)
        model = S3FD(config.model)
        if config.imagenet is not None:
            initialize_from_imagenet(model, config.imagenet)
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model = model.train()
        self.average = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimizer = _optimizer(self.model, config)
        self.recent: list[tuple[float, float]] = []
        self.images = 0
        self.since = time.perf_counter()
        self.description = ""

    def advance(self, batch: Batch) -> str:
        """One optimiser step; returns what the progress bar shows."""
        config = self.config
        factor = learning_rate_factor(self.step, warmup=config.warmup, steps=config.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        class_loss, box_loss = self._loss(batch)
        loss = class_loss + config.box_weight * box_loss
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.step}; "
                "lower learning_rate or use precision float32"
            )
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=10.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        update_average(self.average, self.model, step=self.step, decay=config.average)
        self.step += 1
        self.recent.append((class_loss.item(), box_loss.item()))
        self.images += len(batch.counts)
        if self.step % LOG_EVERY == 0:
            self._log()
        return self.description

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            x = self.model.preprocess(batch.images.to(self.device))
            logits, deltas = self.model(x.contiguous(memory_format=torch.channels_last))
        return detection_loss(
            [level.float() for level in logits],
            [level.float() for level in deltas],
            self.model.grid,
            batch.boxes.to(self.device).split(batch.counts),
            batch.ignore.to(self.device).split(batch.ignore_counts),
        )

    def _log(self) -> None:
        class_loss = sum(pair[0] for pair in self.recent) / len(self.recent)
        box_loss = sum(pair[1] for pair in self.recent) / len(self.recent)
        speed = self.images / (time.perf_counter() - self.since)
        rate = self.optimizer.param_groups[0]["lr"]
        self.description = (
            f"class {class_loss:.3f}  box {box_loss:.3f}  lr {rate:.2e}  {speed:.0f} images/s"
        )
        entry = {
            "step": self.step,
            "class_loss": round(class_loss, 5),
            "box_loss": round(box_loss, 5),
            "learning_rate": rate,
            "images_per_second": round(speed, 1),
        }
        with (self.config.out / LOG_NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        self.recent.clear()
        self.images = 0
        self.since = time.perf_counter()

    def save(self) -> None:
        save_state(
            self.config,
            {
                "step": self.step,
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            },
        )
        save_checkpoint(
            self.average,
            self.config.out / WEIGHTS_NAME,
            {"steps": str(self.step), "seed": str(self.config.seed)},
        )

    def load(self) -> None:
        state = load_state(self.config)
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


def _optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _use_bfloat16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    # On a CPU without instructions for it, bfloat16 is emulated, and slower than float32.
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
