"""The progress of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressLine:
    """Shows step, losses, learning rate, images a second and the time left, on standard error.

    Args:
        steps: of the whole run.
        step: where it starts.
        enabled: False for silence.
        subject: what is counted.
    """

    def __init__(self, steps: int, step: int, *, enabled: bool, subject: str = "step") -> None:
        console = Console(stderr=True)
        self._steps, self._subject = steps, subject
        self._enabled = enabled
        self._bar = Progress(
            TextColumn(subject + " {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (enabled and console.is_terminal),
        )
        self._task = self._bar.add_task("", total=steps, completed=step)

    def __enter__(self) -> ProgressLine:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=step)

    def count(self, done: int, whole: int) -> None:
        """Moves the bar of something other than steps; elsewhere a line now and then."""
        self._bar.update(self._task, completed=done, total=whole)
        if self._enabled and self._bar.disable and (done % 5000 == 0 or done == whole):
            print(f"{self._subject} {done}/{whole}", file=sys.stderr, flush=True)

    def report(self, step: int, entry: Mapping[str, float]) -> None:
        """Shows what was measured lately, see `s3fd.training.meter.Meter.read`."""
        text = (
            f"class {entry['class_loss']:.3f}  box {entry['box_loss']:.3f}  "
            f"lr {entry['learning_rate']:.2e}  {entry['images_per_second']:.1f} images/s"
        )
        self._bar.update(self._task, description=text)
        if self._enabled and self._bar.disable:
            left = (self._steps - step) / max(entry["steps_per_second"], 1e-9)
            print(
                f"step {step}/{self._steps}  {text}  {timedelta(seconds=round(left))} left",
                file=sys.stderr,
                flush=True,
            )

    def say(self, message: str) -> None:
        """A line above the bar."""
        if self._enabled and self._bar.disable:
            print(message, file=sys.stderr, flush=True)
        elif self._enabled:
            self._bar.console.print(message, highlight=False, markup=False)
