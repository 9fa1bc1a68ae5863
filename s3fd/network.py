"""A network as it runs: on a device, in a precision, over batches of images of one padded size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch

from s3fd.defaults import Precision
from s3fd.detections import Detections
from s3fd.devices import compute_alone_in_forks, multiplies_in_bfloat16
from s3fd.memory import FreedMemory
from s3fd.models import S3FD
from s3fd.models.s3fd import inference_copy
from s3fd.ops import decode_detections
from s3fd.scaled_image import ScaledImage
from s3fd.settings import check_choice

# Images after which freed memory goes back; to fetch it anew takes a hundredth of the time.
_RETURN_MEMORY_EVERY = 128


class Network:
    """A copy of an `S3FD` that finds faces in scaled images.

    Attributes:
        model: the copy, with its batch norms folded.
        device: where it is.
        precision: of its weights, which is never "auto".
        smallest_anchor: length of the longest side of the smallest anchor, in pixels.

    Args:
        model: is left alone.
        device: where to run.
        precision: in which to run; "auto" is decided for `device`.

    Raises:
        ValueError: there is no such precision.
    """

    def __init__(self, model: S3FD, device: torch.device, precision: Precision) -> None:
        compute_alone_in_forks()
        self.precision = _decided(precision, device)
        self.model = inference_copy(model)
        self.model.to(getattr(torch, self.precision))
        self.to(device)
        shapes = (shape for level in model.grid.shapes for shape in level)
        self.smallest_anchor = min(max(shape) for shape in shapes)
        self._freed = FreedMemory(_RETURN_MEMORY_EVERY)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes the attributes of one that was pickled or copied, in whatever process."""
        compute_alone_in_forks()
        self.__dict__.update(state)

    def to(self, device: torch.device) -> None:
        """Moves it to another device."""
        self.device = device
        self.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def find(
        self,
        images: Sequence[ScaledImage],
        score_threshold: float,
        iou_threshold: float,
        *,
        batch_size: int,
        max_pixels: int | None = None,
    ) -> list[Detections]:
        """The faces of each image, in pixels of the original one.

        Args:
            images: those of one padded size share batches.
            score_threshold: faces with a smaller score are dropped.
            iou_threshold: of two faces that overlap more, the one with the larger score stays.
            batch_size: images of a batch at most.
            max_pixels: pixels of a batch at most, if it has more than one image.
        """
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.padded_size, []).append(index)
        found: dict[int, Detections] = {}
        for size, indices in by_size.items():
            together = batch_size
            if max_pixels is not None:
                together = max(1, min(batch_size, max_pixels // (size[0] * size[1])))
            for start in range(0, len(indices), together):
                batch = indices[start : start + together]
                detections = self._find_in_batch(
                    [images[i] for i in batch], size, score_threshold, iou_threshold
                )
                found.update(zip(batch, detections, strict=True))
        self._freed.count(len(images))
        return [found[index] for index in range(len(images))]

    @torch.inference_mode()
    def _find_in_batch(
        self,
        images: list[ScaledImage],
        padded_size: tuple[int, int],
        score_threshold: float,
        iou_threshold: float,
    ) -> list[Detections]:
        sizes = [image.scaled_size for image in images]
        pixels = np.zeros((len(images), *padded_size, 3), dtype=np.uint8)
        for target, image, (height, width) in zip(pixels, images, sizes, strict=True):
            target[:height, :width] = image.pixels()
        x = self.model.preprocess(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device))
        for target, (height, width) in zip(x, sizes, strict=True):
            target[:, height:] = 0  # the mean colour
            target[:, :, width:] = 0
        logits, deltas = self.model(x.contiguous(memory_format=torch.channels_last))
        boxes, scores, splits = decode_detections(
            [level.float() for level in logits],
            [level.float() for level in deltas],
            self.model.grid,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            image_sizes=sizes,
        )
        boxes, scores, bounds = boxes.cpu(), scores.cpu(), splits.tolist()
        return [
            Detections(image.to_original(boxes[a:b]), scores[a:b].clone(), image.original_size)
            for image, a, b in zip(images, bounds[:-1], bounds[1:], strict=True)
        ]


def _decided(precision: Precision, device: torch.device) -> Precision:
    check_choice("precision", precision, get_args(Precision))
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cpu" and multiplies_in_bfloat16(device) else "float32"
