"""A whole detector as a program of torch.export, which AOTInductor compiles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s3fd.defaults import IOU_THRESHOLD, SCORE_THRESHOLD, Precision
from s3fd.files import whole_file
from s3fd.models import S3FD
from s3fd.models.s3fd import inference_copy
from s3fd.ops import decode_detections
from s3fd.ops._checks import check_integer, check_number, check_size
from s3fd.padding import padded_length
from s3fd.settings import check_choice


class WholeDetector(nn.Module):
    """From images to detections, in tensors whose sizes do not depend on what is found.

    Args:
        model: in evaluation mode, with its batch norms folded.
        score_threshold: as for `s3fd.ops.decode_detections`.
        iou_threshold: likewise.
    """

    def __init__(self, model: S3FD, score_threshold: float, iou_threshold: float) -> None:
        super().__init__()
        self.model = model
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[B, H, W, 3]`` to boxes ``[B, 750, 4]``, scores ``[B, 750]`` and counts ``[B]``."""
        batch, height, width, _ = images.shape
        x = self.model.preprocess(images.permute(0, 3, 1, 2))
        right, below = padded_length(width) - width, padded_length(height) - height
        logits, deltas = self.model(F.pad(x, (0, right, 0, below)))
        return decode_detections(
            [level.float() for level in logits],
            [level.float() for level in deltas],
            self.model.grid,
            score_threshold=self.score_threshold,
            iou_threshold=self.iou_threshold,
            image_sizes=[(height, width)] * batch,
            padded=True,
        )


def export_torch(
    model: S3FD,
    path: str | os.PathLike[str],
    *,
    image_size: tuple[int, int],
    batch_size: int = 1,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    precision: Precision = "float32",
) -> None:
    """Writes a detector as a program that ``torch.export.load`` reads where `s3fd.ops` is imported.

    It takes ``images [B, H, W, 3]``, uint8, RGB, of one size and number, and gives ``boxes
    [B, 750, 4]`` (``(x1, y1, x2, y2)`` in pixels), ``scores [B, 750]`` and ``counts [B]``: the
    first ``counts[b]`` rows of image ``b`` are its faces, best first, and the others 0.

    Args:
        model: a copy of it is exported, with its batch norms folded.
        path: of the file, which is replaced if it is there.
        image_size: height and width of the images.
        batch_size: their number.
        score_threshold: faces with a smaller score are dropped; in [0, 1].
        iou_threshold: of two faces that overlap more, the one with the larger score stays.
        precision: of the weights and of what the network computes: ``"float32"``, ``"bfloat16"``
            or ``"float16"``.

    Raises:
        TypeError: the model is no network.
        ValueError: an argument is not as described.
    """
    height, width = check_size("image_size", image_size)
    if min(height, width) < 1:
        raise ValueError(f"image_size: expected at least one pixel, got {(height, width)}")
    check_integer("batch_size", batch_size, minimum=1)
    check_number("score_threshold", score_threshold, minimum=0, maximum=1)
    check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)
    choices = [choice for choice in get_args(Precision) if choice != "auto"]
    check_choice("precision", precision, choices, "since a file goes to other machines")
    with torch.device("cpu"):  # whatever torch's default is
        model = inference_copy(model).cpu()
        model.to(getattr(torch, precision))
        detector = WholeDetector(model, score_threshold, iou_threshold).eval()
        example = torch.zeros((batch_size, height, width, 3), dtype=torch.uint8)
        program = torch.export.export(detector, (example,))
    with whole_file(Path(path)) as file:
        torch.export.save(program, file)
