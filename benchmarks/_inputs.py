"""What the operators are timed on: faces of WIDER FACE's validation images, or a stand-in."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from s3fd.analysis.faces import WIDER_WIDTH, ImageFaces, read_faces
from s3fd.data.annotations import has_area
from s3fd.ops import AnchorGrid, encode_boxes

_TEXT = "wider_face_val/wider_face_val_bbx_gt.txt"
_CROWD = 1968  # faces of the fullest image of the whole data set


@dataclass(frozen=True)
class Inputs:
    """Where cases take their arguments from.

    Attributes:
        images: faces of each image, ``[G_i, 4]``, in pixels of an image 1 024 wide.
        source: where they are from, in words.
        quick: whether small sizes will do.
        device: where tensors belong.
    """

    images: Sequence[Tensor]
    source: str
    quick: bool
    device: torch.device
    grid: AnchorGrid = field(default_factory=AnchorGrid.s3fd)

    def generator(self) -> torch.Generator:
        """The same sequence for every case that asks."""
        return torch.Generator().manual_seed(20170817)

    def image_with(self, faces: int) -> Tensor:
        """Just so many faces, ``[G, 4]``, of the image that has as many, or just a few more.

        Where no image has so many, the fullest ones are laid over each other.
        """
        enough = [boxes for boxes in self.images if len(boxes) >= faces]
        if enough:
            return min(enough, key=len)[:faces]
        return torch.cat(sorted(self.images, key=len, reverse=True))[:faces]

    def scaled(self, boxes: Tensor, size: int) -> Tensor:
        """Boxes of an image that is scaled to fit into ``size`` x ``size`` pixels."""
        return ImageFaces("", boxes.numpy()).fitted(size).to(self.device)

    def batch(self, images: int, size: int, *, least: int = 1, most: int = _CROWD) -> list[Tensor]:
        """Images drawn from those with ``least`` to ``most`` faces, scaled to ``size``."""
        fitting = [boxes for boxes in self.images if least <= len(boxes) <= most]
        drawn = torch.randperm(len(fitting), generator=self.generator())[:images]
        return [self.scaled(fitting[index], size) for index in drawn.tolist()]

    def anchors(self, size: int) -> tuple[list[tuple[int, int]], Tensor]:
        """Sizes of the feature maps of a square image, and its anchors ``[A, 4]``."""
        feature_sizes = self.grid.feature_sizes((size, size))
        return feature_sizes, self.grid.anchors(feature_sizes, device=self.device)

    def clustered(self, candidates: int) -> tuple[Tensor, Tensor]:
        """Boxes and scores ``[N, 4]``, ``[N]`` as a detector makes them before NMS.

        About 20 around each face of one image, moved and resized at random; the score falls with
        the distance to the face.
        """
        random = self.generator()
        faces = self.image_with(min(candidates // 20, _CROWD))
        faces = faces.repeat(-(-candidates // len(faces)), 1)[:candidates]  # [N, 4]
        sides = (faces[:, 2:] - faces[:, :2]).clamp(min=2)  # [N, 2]
        shift = torch.randn(candidates, 2, generator=random) * 0.15
        growth = torch.randn(candidates, 2, generator=random) * 0.15
        centres = (faces[:, :2] + faces[:, 2:]) / 2 + shift * sides
        halves = sides * growth.exp() / 2
        distance = shift.square().sum(1) + growth.square().sum(1)  # [N]
        noise = torch.randn(candidates, generator=random)
        scores = (3 - 20 * distance + noise).sigmoid()
        return torch.cat([centres - halves, centres + halves], 1).to(self.device), scores.to(
            self.device
        )

    def uniform(self, candidates: int) -> tuple[Tensor, Tensor]:
        """Boxes and scores anywhere in a 1 024 pixel image, with sides of 8 to 128 pixels."""
        random = self.generator()
        centres = torch.rand(candidates, 2, generator=random) * WIDER_WIDTH
        halves = 4 * 16 ** torch.rand(candidates, 2, generator=random)
        scores = torch.rand(candidates, generator=random)
        boxes = torch.cat([centres - halves, centres + halves], 1)
        return boxes.to(self.device), scores.to(self.device)

    def head_outputs(
        self, boxes: Sequence[Tensor], size: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a trained network would say of images with these faces.

        Returns:
            logits ``[B, A, 2]``, deltas ``[B, A, 4]``, anchors ``[A, 4]``, matched ``[B, A]``:
            faces where anchors match one, background elsewhere, both with noise.
        """
        random = self.generator()
        feature_sizes = self.grid.feature_sizes((size, size))
        anchors = self.grid.anchors(feature_sizes)  # all on the CPU, whatever the device
        matched = self.grid.match(feature_sizes, [b.cpu() for b in boxes])
        shape = matched.shape
        margin = torch.where(matched >= 0, 2.0, -7.0) + 1.5 * torch.randn(shape, generator=random)
        background = torch.randn(shape, generator=random)
        logits = torch.stack([background, background + margin], 2)
        deltas = torch.randn(*shape, 4, generator=random)
        for image, of_image in enumerate(boxes):
            anchor = (matched[image] >= 0).nonzero()[:, 0]
            exact = encode_boxes(of_image.cpu()[matched[image, anchor]], anchors[anchor])
            deltas[image, anchor] = exact + 0.3 * deltas[image, anchor]
        to = self.device
        return logits.to(to), deltas.to(to), anchors.to(to), matched.to(to)


def load(quick: bool, device: torch.device) -> Inputs:
    """The real faces if they are there, else the stand-in."""
    shared = os.environ.get("S3FD_SHARED")
    folder = Path(shared) if shared else Path(__file__).parents[2] / "shared"
    if (folder / _TEXT).is_file():
        images = _read_wider(folder / _TEXT)
        return Inputs(images, "faces of WIDER FACE's validation images", quick, device)
    source = f"made-up faces with WIDER FACE's statistics ($S3FD_SHARED has no {_TEXT})"
    return Inputs(_made_up(), source, quick, device)


def _read_wider(file: Path) -> list[Tensor]:
    """Faces of each image; a few have no area, and are left out."""
    images = (image.boxes for image in read_faces(file))
    return [torch.from_numpy(boxes[has_area(boxes)]) for boxes in images]


def _made_up() -> list[Tensor]:
    """3 226 images like WIDER's: most with few faces, some with hundreds of small ones.

    The logarithm of the number has the mean 1.2 and the deviation 1.55. Of n faces the logarithm of
    the side has the mean 5 - 0.69 log(n) + 0.04 log(n)^2, with the deviation 0.65 from image to
    image and 0.35 within one; faces are 1.27 times as high as wide.
    """
    random = torch.Generator().manual_seed(2016)
    counts = torch.randn(3226, generator=random).mul(1.55).add(1.2).exp().round().clamp(1, 700)
    images = []
    for count in counts.int().tolist():
        crowd = math.log(count)
        mean = 5 - 0.69 * crowd + 0.04 * crowd**2 + 0.65 * torch.randn((), generator=random)
        side = (mean + 0.35 * torch.randn(count, 1, generator=random)).exp().clamp(2, 600)
        half = side * torch.tensor([0.444, 0.563])  # [n, 2]
        centre = torch.rand(count, 2, generator=random) * torch.tensor([1024.0, 700.0])
        images.append(torch.cat([centre - half, centre + half], 1).clamp(min=0))
    return images
