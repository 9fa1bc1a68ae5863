"""The gradient of one optimiser step, over the parts of its batch and over all processes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from s3fd.data import Batch
from s3fd.models import S3FD
from s3fd.models.checkpoint import empty_model
from s3fd.training.distributed import Processes
from s3fd.training.loss import DetectionLoss
from s3fd.training.precision import Precision


@dataclass(frozen=True)
class StepGradient:
    """Computes the gradient of ``class_loss + box_weight * box_loss`` over a whole step.

    The two losses are means over anchors of all images of the step. How many there are is known
    from the matching alone, which is done for all parts before the first of them goes through the
    network. So N processes with k parts each give the gradient of one process with one part, but
    for rounding. (Batch norms are over all processes, too, but over one part at a time.)

    Attributes:
        model: the network.
        network: what is called: the model, or the `DistributedDataParallel` around it.
        loss: of its maps.
        precision: in what it computes.
        processes: those that share the step.
        parts: in how many pieces each of them takes its images, one after the other; see
            `s3fd.training.step_sizes` for how many there may be.
        box_weight: lambda of the paper.
        memory_format: of the network's input.
    """

    model: S3FD
    network: S3FD | DistributedDataParallel
    loss: DetectionLoss
    precision: Precision
    processes: Processes
    parts: int = 1
    box_weight: float = 4.0
    memory_format: torch.memory_format = torch.channels_last
    _map_sizes: dict[tuple[int, int], list[tuple[int, int]]] = field(
        default_factory=dict, init=False, repr=False
    )

    def __call__(self, batch: Batch) -> Tensor:
        """Adds the gradient to that of the parameters, times the scale of `precision`.

        Args:
            batch: the images of this process, wherever they are.

        Returns:
            float32 ``[2]``: this process's share of class and box loss; the shares of all processes
            add up to the losses.
        """
        pieces = batch.to(self.processes.device, non_blocking=True).split(self.parts)
        matched = [self._match(piece) for piece in pieces]
        counts = torch.stack([self.loss.counts(matches) for matches in matched])  # [parts, 2]
        shares = counts / self.processes.sum(counts.sum(dim=0)).clamp(min=1)  # [parts, 2]
        total = torch.zeros(2, device=self.processes.device)
        for number, (piece, matches) in enumerate(zip(pieces, matched, strict=True)):
            with self._communication(last=number == len(pieces) - 1):
                losses = self._losses(piece, matches) * shares[number]
                # The gradients of the processes are averaged; here they have to be added up.
                scaled = (losses[0] + self.box_weight * losses[1]) * self.processes.size
                self.precision.scaler.scale(scaled).backward()
            total += losses.detach()
        return total

    def _match(self, batch: Batch) -> Tensor:
        height, width = batch.images.shape[-2:]
        sizes = self._sizes_of_maps(height, width)
        return self.loss.match(sizes, _boxes(batch), batch.ignore.split(batch.ignore_counts))

    def _sizes_of_maps(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of every level, asked of the network itself.

        Published copies of VGG16 round them otherwise than their anchors' strides would.
        """
        if (height, width) not in self._map_sizes:
            model = empty_model(self.model.config).eval()
            logits, _ = model(torch.empty(1, 3, height, width, device="meta"))
            self._map_sizes[height, width] = [(x.shape[-2], x.shape[-1]) for x in logits]
        return self._map_sizes[height, width]

    def _losses(self, batch: Batch, matched: Tensor) -> Tensor:
        with self.precision.autocast():
            x = self.model.preprocess(batch.images)
            logits, deltas = self.network(x.contiguous(memory_format=self.memory_format))
        return self.loss(logits, deltas, _boxes(batch), matched)

    def _communication(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients are exchanged once, with the last part."""
        if isinstance(self.network, DistributedDataParallel) and not last:
            return self.network.no_sync()
        return nullcontext()


def _boxes(batch: Batch) -> Sequence[Tensor]:
    boxes: Sequence[Tensor] = batch.boxes.split(batch.counts)
    return boxes
