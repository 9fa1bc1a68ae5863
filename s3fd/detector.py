"""Faces out of photos: images of any kind and size in, `Detections` out."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from s3fd.defaults import BATCH_SIZE, IOU_THRESHOLD, MAX_SIZE, SCORE_THRESHOLD
from s3fd.detections import Detections
from s3fd.devices import Device, resolve_device
from s3fd.images import ImageLike, UInt8Array, read_image
from s3fd.models import S3FD, load_checkpoint, pretrained_path
from s3fd.ops import decode_detections
from s3fd.ops._checks import check_integer, check_number


class FaceDetector:
    """Finds faces with an `S3FD` network.

    Images are shrunk by their own factor (antialiased, never enlarged), padded on the right and
    below with what the network sees as its mean colour, and go through the network together. How
    much an image is padded depends on its own size alone, and only images of one padded size share
    a batch: what is found in an image does not depend on the others, but for rounding.

    The detector may be called from several threads.

    Args:
        model: a copy of it is used, with its batch norms folded: the model itself may be trained
            on.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; None is CUDA where there is a GPU,
            and the CPU elsewhere.

    Raises:
        ValueError: there is no such device here.

    Example:
        >>> import numpy as np
        >>> detector = FaceDetector.from_pretrained("light", device="cpu")
        >>> detector(np.zeros((48, 64, 3), dtype=np.uint8))
        Detections(boxes=tensor([], size=(0, 4)), scores=tensor([]), image_size=(48, 64))
    """

    def __init__(self, model: S3FD, device: Device = None) -> None:
        self.device = resolve_device(device)
        self.model = copy.deepcopy(model).fuse().requires_grad_(False)
        self.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        shapes = (shape for level in model.grid.shapes for shape in level)
        self._smallest_anchor = min(max(shape) for shape in shapes)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str] = "light", device: Device = None
    ) -> FaceDetector:
        """Loads weights: bundled ones by their name, or a file in any known format.

        Args:
            name_or_path: a name goes before a file of that name; ``./light`` is the file.
            device: as for `FaceDetector`.

        Raises:
            FileNotFoundError: neither bundled weights nor a file have this name.
            ValueError: the file is not one of S3FD's (see `s3fd.models.load_checkpoint`), or there
                is no such device here.
        """
        device = resolve_device(device)
        return cls(load_checkpoint(_weights_path(name_or_path)), device)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self,
        images: ImageLike,
        *,
        score_threshold: float = ...,
        iou_threshold: float = ...,
        max_size: int | None = ...,
        min_face: float | None = ...,
        batch_size: int = ...,
    ) -> Detections: ...

    @overload
    def __call__(
        self,
        images: Iterable[ImageLike],
        *,
        score_threshold: float = ...,
        iou_threshold: float = ...,
        max_size: int | None = ...,
        min_face: float | None = ...,
        batch_size: int = ...,
    ) -> list[Detections]: ...

    def __call__(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        score_threshold: float = SCORE_THRESHOLD,
        iou_threshold: float = IOU_THRESHOLD,
        max_size: int | None = MAX_SIZE,
        min_face: float | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Detections | list[Detections]:
        """Finds the faces of one image, or of each of several.

        Args:
            images: an image (see `s3fd.images.read_image`: a path, a PIL image, an array, a
                tensor), or a list or other iterable of them, mixed in kind and size.
            score_threshold: faces with a smaller score are dropped; in (0, 1).
            iou_threshold: of two faces that overlap more, the one with the larger score stays.
            max_size: images whose longest side is larger are shrunk to it, in pixels; None for
                images as they are. Smaller is faster, larger finds smaller faces.
            min_face: faces whose longest side is smaller are dropped, in pixels of the original
                image. The image may be shrunk, so that such a face meets the smallest anchors
                (16 px), which makes large images much faster.
            batch_size: images in one forward pass at most.

        Returns:
            `Detections` for one image, or a list with those of each, in their order. They are in
            pixels of the original image, turned upright.

        Raises:
            TypeError, FileNotFoundError, ValueError: as `s3fd.images.read_image`, naming
                ``images[i]``; or another argument is not as described above.
        """
        check_number("score_threshold", score_threshold, minimum=0, maximum=1)
        check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)
        check_integer("batch_size", batch_size, minimum=1)
        if max_size is not None:
            check_integer("max_size", max_size, minimum=1)
        if min_face is not None:
            check_number("min_face", min_face, minimum=0)

        if isinstance(images, str | os.PathLike | Image.Image | np.ndarray | Tensor):
            single, labelled = True, iter([("images", images)])
        elif isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | Mapping):
            single = False
            labelled = ((f"images[{index}]", image) for index, image in enumerate(images))
        else:
            raise TypeError(
                "images: expected an image (a path, a PIL image, an array or a tensor) or a list "
                f"of images, got {type(images).__name__}"
            )
        found: list[Detections] = []
        # A window bounds the memory, and is large enough for images of one size to meet in it.
        while window := list(islice(labelled, 4 * batch_size)):
            scaled = [self._scale(image, name, max_size, min_face) for name, image in window]
            found += self._detect(scaled, score_threshold, iou_threshold, batch_size)
        if min_face is not None:
            found = [_without_small(detections, min_face) for detections in found]
        return found[0] if single else found

    def _scale(
        self, image: ImageLike, name: str, max_size: int | None, min_face: float | None
    ) -> _Scaled:
        pixels = read_image(image, name)
        height, width = pixels.shape[:2]
        factor = 1.0
        if max_size is not None:
            factor = min(factor, max_size / max(height, width))
        if min_face:
            factor = min(factor, self._smallest_anchor / min_face)
        if factor < 1:
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            resized = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
            pixels = np.asarray(resized)
        return _Scaled(pixels, (height, width))

    def _detect(
        self, images: list[_Scaled], score_threshold: float, iou_threshold: float, batch_size: int
    ) -> list[Detections]:
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.padded_size, []).append(index)
        found: dict[int, Detections] = {}
        for size, indices in by_size.items():
            for start in range(0, len(indices), batch_size):
                batch = indices[start : start + batch_size]
                detections = self._detect_batch(
                    [images[i] for i in batch], size, score_threshold, iou_threshold
                )
                found.update(zip(batch, detections, strict=True))
        return [found[index] for index in range(len(images))]

    @torch.inference_mode()
    def _detect_batch(
        self,
        images: list[_Scaled],
        padded_size: tuple[int, int],
        score_threshold: float,
        iou_threshold: float,
    ) -> list[Detections]:
        sizes = [image.scaled_size for image in images]
        pixels = np.zeros((len(images), *padded_size, 3), dtype=np.uint8)
        for target, image, (height, width) in zip(pixels, images, sizes, strict=True):
            target[:height, :width] = image.pixels
        x = self.model.preprocess(torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device))
        for target, (height, width) in zip(x, sizes, strict=True):
            target[:, height:] = 0  # the mean colour
            target[:, :, width:] = 0
        logits, deltas = self.model(x.contiguous(memory_format=torch.channels_last))
        boxes, scores, splits = decode_detections(
            logits,
            deltas,
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


@dataclass(frozen=True, eq=False)
class _Scaled:
    """An image as the network gets it, before padding. Sizes are (height, width)."""

    pixels: UInt8Array
    original_size: tuple[int, int]

    @property
    def scaled_size(self) -> tuple[int, int]:
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def padded_size(self) -> tuple[int, int]:
        height, width = self.scaled_size
        return _padded(height), _padded(width)

    def to_original(self, boxes: Tensor) -> Tensor:
        """Boxes ``[N, 4]`` of the scaled image in pixels of the original one."""
        height, width = self.original_size
        x_scale, y_scale = width / self.scaled_size[1], height / self.scaled_size[0]
        scaled = boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])
        return scaled.clamp_max(boxes.new_tensor([width, height, width, height]))


def _padded(length: int) -> int:
    """The padded length of a side: a multiple of 32, in coarser steps the longer it is.

    It must depend on nothing else, since a network sees the end of its image: features beside
    padding differ from features at a border.
    """
    step = 32 if length <= 256 else 64 if length <= 1024 else 128
    return math.ceil(length / step) * step


def _without_small(detections: Detections, min_face: float) -> Detections:
    boxes = detections.boxes
    large = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1) >= min_face
    return Detections(boxes[large], detections.scores[large], detections.image_size)


def _weights_path(name_or_path: str | os.PathLike[str]) -> Path:
    try:
        return pretrained_path(os.fspath(name_or_path))
    except ValueError as error:
        path = Path(name_or_path)
        if path.exists():
            return path
        message = str(error).replace("name:", "name_or_path:", 1)
        raise FileNotFoundError(f"{message}; there is no such file") from None
