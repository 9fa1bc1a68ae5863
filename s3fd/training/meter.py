"""What a run has measured since it last reported."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from s3fd.training.distributed import Processes

FloatEntry = dict[str, float]


class Meter:
    """Adds up losses on their device, so that no step waits for a number, and times the steps.

    Args:
        processes: those whose losses are added up.
    """

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.restart()

    def restart(self) -> None:
        """Forgets everything."""
        self._sums = torch.zeros(3, device=self._processes.device)
        self._steps = 0
        self._images = 0
        self._waited = 0.0
        self._since = time.perf_counter()

    def add(self, losses: Tensor, gradient_norm: Tensor, images: int, waited: float) -> None:
        """One step.

        Args:
            losses: ``[2]``, this process's share of class and box loss.
            gradient_norm: scalar, the same on all processes.
            images: of all processes.
            waited: seconds for which this process waited for its batch.
        """
        self._sums[:2] += losses
        self._sums[2] += gradient_norm / self._processes.size
        self._steps += 1
        self._images += images
        self._waited += waited

    def read(self) -> FloatEntry:
        """Means over the steps, over all processes, which all have to call this; then forgets."""
        class_loss, box_loss, norm = (
            self._processes.sum(self._sums) / max(1, self._steps)
        ).tolist()
        seconds = time.perf_counter() - self._since
        entry = {
            "class_loss": class_loss,
            "box_loss": box_loss,
            "gradient_norm": norm,
            "images_per_second": self._images / seconds,
            "steps_per_second": self._steps / seconds,
            "waiting_for_data": self._waited / seconds,
        }
        self.restart()
        return entry
