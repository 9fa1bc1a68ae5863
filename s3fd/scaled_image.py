"""An image as a network gets it: scaled, perhaps mirrored; and the way back for its boxes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from s3fd.detections import Detections
from s3fd.images import UInt8Array
from s3fd.images.resize import mirrored, resized
from s3fd.padding import padded_length


@dataclass(frozen=True, eq=False)
class ScaledImage:
    """An image as the network gets it, before padding. Sizes are (height, width).

    Attributes:
        source: uint8 ``[H, W, 3]``, from which `pixels` is made when it is needed.
        scaled_size: of `pixels`.
        original_size: of the image that boxes are wanted for.
        mirrored: whether left and right of `pixels` are exchanged.
    """

    source: UInt8Array
    scaled_size: tuple[int, int]
    original_size: tuple[int, int]
    mirrored: bool = False

    def pixels(self) -> UInt8Array:
        """The image itself, uint8 ``[H, W, 3]``: antialiased where it is shrunk."""
        pixels = resized(self.source, *self.scaled_size)
        return mirrored(pixels) if self.mirrored else pixels

    @property
    def padded_size(self) -> tuple[int, int]:
        """What it is padded to; it depends on `scaled_size` alone."""
        height, width = self.scaled_size
        return padded_length(height), padded_length(width)

    def to_original(self, boxes: Tensor) -> Tensor:
        """Boxes ``[N, 4]`` of the scaled image in pixels of the original one."""
        height, width = self.original_size
        x_scale, y_scale = width / self.scaled_size[1], height / self.scaled_size[0]
        scaled = boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])
        scaled = scaled.clamp_max(boxes.new_tensor([width, height, width, height]))
        if self.mirrored:  # x becomes width - x, and so left and right change places
            x1, y1, x2, y2 = scaled.unbind(dim=1)
            scaled = torch.stack([width - x2, y1, width - x1, y2], dim=1)
        return scaled

    def keep(self, found: Detections) -> Detections:
        """Of what was found in it, in pixels of the original, what counts: here all."""
        return found
