"""Curves and pictures of a run for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from s3fd.data import Batch
from s3fd.defaults import SCORE_THRESHOLD
from s3fd.detections import Detections
from s3fd.images import read_image

_PICTURES = 4


def check_tensorboard() -> None:
    """Raises an `ImportError` that says what to do, if TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise ImportError(
            "tensorboard: it is not installed; pip install 's3fd[train]', or leave it out"
        )


class Events:
    """Writes scalars and pictures, or nothing.

    Args:
        folder: for TensorBoard's event files; None writes nothing.
        step: what an earlier process has written for later steps is hidden: a resumed run writes
            it again.
    """

    def __init__(self, folder: Path | None, step: int = 0) -> None:
        self._writer: Any = None
        if folder is not None:
            check_tensorboard()
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves, by the name of the curve."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def batch(self, step: int, batch: Batch) -> None:
        """The first images of a batch with their faces, as the network is shown them."""
        if self._writer is not None:
            faces = batch.boxes.split(batch.counts)
            for number in range(min(_PICTURES, len(faces))):
                self._picture(f"training/{number}", step, batch.images[number], faces[number])

    def detections(self, step: int, photos: Sequence[Path], found: Sequence[Detections]) -> None:
        """The first of some photos with the faces that were found in them."""
        if self._writer is not None:
            for number, (path, faces) in enumerate(zip(photos[:_PICTURES], found, strict=False)):
                image = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)
                boxes = faces.boxes[faces.scores >= SCORE_THRESHOLD]
                self._picture(f"validation/{number}", step, image, boxes)

    def _picture(self, name: str, step: int, image: Tensor, boxes: Tensor) -> None:
        """uint8 ``[3, H, W]`` with boxes ``[N, 4]``."""
        if len(boxes):
            self._writer.add_image_with_boxes(name, image.cpu(), boxes.cpu().float(), step)
        else:
            self._writer.add_image(name, image.cpu(), step)

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()
