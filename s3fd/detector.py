"""Faces out of photos: images of any kind and size in, `Detections` out."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from s3fd.defaults import BATCH_SIZE, IOU_THRESHOLD, MAX_PIXELS, MAX_SIZE, SCORE_THRESHOLD
from s3fd.detections import Detections
from s3fd.devices import Device, resolve_device
from s3fd.images import ImageLike, UInt8Array, read_image
from s3fd.models import S3FD, load_checkpoint
from s3fd.models.checkpoint import weights_path
from s3fd.multiscale import LOWEST_PASS_SCORE, Pass, largest_scale, merge_passes, plan_passes
from s3fd.ops import decode_detections
from s3fd.ops._checks import check_integer, check_number
from s3fd.scaled_image import ScaledImage


class FaceDetector:
    """Finds faces with an `S3FD` network.

    Images are shrunk by their own factor (antialiased, never enlarged but in `detect_multiscale`),
    padded on the right and below with what the network sees as its mean colour, and go through the
    network together. How much an image is padded depends on its own size alone, and only images of
    one padded size share a batch: what is found in an image does not depend on the others, but for
    rounding.

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
        return cls(load_checkpoint(weights_path(name_or_path)), device)

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
        _check_settings(score_threshold, iou_threshold, min_face, batch_size)
        if max_size is not None:
            check_integer("max_size", max_size, minimum=1)
        single, labelled = _labelled(images)
        found: list[Detections] = []
        # A window bounds the memory, and is large enough for images of one size to meet in it.
        while window := list(islice(labelled, 4 * batch_size)):
            scaled = [self._scale(image, name, max_size, min_face) for name, image in window]
            found += self._detect(scaled, score_threshold, iou_threshold, batch_size)
        if min_face is not None:
            found = [_without_small(detections, min_face) for detections in found]
        return found[0] if single else found

    @overload
    def detect_multiscale(  # type: ignore[overload-overlap]  # as above
        self,
        images: ImageLike,
        *,
        score_threshold: float = ...,
        iou_threshold: float = ...,
        max_pixels: int = ...,
        min_face: float | None = ...,
        keep_single: bool = ...,
        batch_size: int = ...,
    ) -> Detections: ...

    @overload
    def detect_multiscale(
        self,
        images: Iterable[ImageLike],
        *,
        score_threshold: float = ...,
        iou_threshold: float = ...,
        max_pixels: int = ...,
        min_face: float | None = ...,
        keep_single: bool = ...,
        batch_size: int = ...,
    ) -> list[Detections]: ...

    def detect_multiscale(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        score_threshold: float = SCORE_THRESHOLD,
        iou_threshold: float = IOU_THRESHOLD,
        max_pixels: int = MAX_PIXELS,
        min_face: float | None = None,
        keep_single: bool = True,
        batch_size: int = BATCH_SIZE,
    ) -> Detections | list[Detections]:
        """Finds faces at several scales: slower by far, and better with small and odd faces.

        The paper's test-time protocol (its authors' ``wider_test.py``): every image is looked at
        as it is, mirrored, halved for large faces, and enlarged for small ones
        (`s3fd.multiscale.plan_passes`); what is found in all of that is merged by
        `s3fd.ops.vote_boxes`, and the 750 best are kept.

        Args:
            images: as for calling the detector.
            score_threshold: faces with a smaller score are dropped; in (0, 1). It is applied after
                the merge: boxes down to a score of 0.05, or to this threshold if that is less, take
                part in the vote.
            iou_threshold: of the boxes of one pass that overlap more, the best stays; boxes of
                different passes that overlap as much or more are merged.
            max_pixels: pixels that go through the network together at most, before padding: what
                bounds the memory. Images with more are shrunk to it; those with less are enlarged
                up to it. The default is the authors' (Caffe's largest input).
            min_face: faces whose longest side is smaller are dropped, in pixels of the original
                image. No scale is larger than such a face needs to meet the smallest anchors.
            keep_single: whether boxes that no other box supports stay. The authors drop them
                (False); that costs faces which only one scale can see.
            batch_size: images of one size in one forward pass at most.

        Returns:
            As calling the detector does.

        Raises:
            TypeError, FileNotFoundError, ValueError: as calling the detector does.

        Example:
            >>> import numpy as np
            >>> detector = FaceDetector.from_pretrained("light", device="cpu")
            >>> grey = np.full((48, 64, 3), 128, dtype=np.uint8)
            >>> len(detector.detect_multiscale(grey, max_pixels=20_000))
            0
        """
        _check_settings(score_threshold, iou_threshold, min_face, batch_size)
        check_integer("max_pixels", max_pixels, minimum=1)
        single, labelled = _labelled(images)
        found: list[Detections] = []
        while window := list(islice(labelled, batch_size)):
            scaled: list[ScaledImage] = []
            plans: list[list[Pass]] = []
            for name, image in window:
                pixels = read_image(image, name)
                plans.append(plan_passes(self._largest_scale(pixels, max_pixels, min_face)))
                scaled += [look.scaled(pixels) for look in plans[-1]]
            lowest = min(score_threshold, LOWEST_PASS_SCORE)
            passes = iter(self._detect(scaled, lowest, iou_threshold, batch_size, max_pixels))
            for plan in plans:
                kept = [look.keep(next(passes)) for look in plan]
                merged = merge_passes(kept, iou_threshold=iou_threshold, keep_single=keep_single)
                found.append(_without_small(_from_score(merged, score_threshold), min_face or 0))
        return found[0] if single else found

    def _scale(
        self, image: ImageLike, name: str, max_size: int | None, min_face: float | None
    ) -> ScaledImage:
        pixels = read_image(image, name)
        height, width = pixels.shape[:2]
        factor = 1.0
        if max_size is not None:
            factor = min(factor, max_size / max(height, width))
        if min_face:
            factor = min(factor, self._smallest_anchor / min_face)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        shrunk = ScaledImage(pixels, size, (height, width)).pixels()
        return ScaledImage(shrunk, size, (height, width))

    def _largest_scale(self, pixels: UInt8Array, max_pixels: int, min_face: float | None) -> float:
        height, width = pixels.shape[:2]
        largest = largest_scale((height, width), max_pixels)
        return min(largest, self._smallest_anchor / min_face) if min_face else largest

    def _detect(
        self,
        images: list[ScaledImage],
        score_threshold: float,
        iou_threshold: float,
        batch_size: int,
        max_pixels: int | None = None,
    ) -> list[Detections]:
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
                detections = self._detect_batch(
                    [images[i] for i in batch], size, score_threshold, iou_threshold
                )
                found.update(zip(batch, detections, strict=True))
        return [found[index] for index in range(len(images))]

    @torch.inference_mode()
    def _detect_batch(
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


def _check_settings(
    score_threshold: float, iou_threshold: float, min_face: float | None, batch_size: int
) -> None:
    check_number("score_threshold", score_threshold, minimum=0, maximum=1)
    check_number("iou_threshold", iou_threshold, minimum=0, maximum=1)
    check_integer("batch_size", batch_size, minimum=1)
    if min_face is not None:
        check_number("min_face", min_face, minimum=0)


def _labelled(
    images: ImageLike | Iterable[ImageLike],
) -> tuple[bool, Iterator[tuple[str, ImageLike]]]:
    """Whether it is a single image, and all images with what errors call them."""
    if isinstance(images, str | os.PathLike | Image.Image | np.ndarray | Tensor):
        return True, iter([("images", images)])
    if isinstance(images, Iterable) and not isinstance(images, bytes | bytearray | Mapping):
        return False, ((f"images[{index}]", image) for index, image in enumerate(images))
    raise TypeError(
        "images: expected an image (a path, a PIL image, an array or a tensor) or a list "
        f"of images, got {type(images).__name__}"
    )


def _without_small(detections: Detections, min_face: float) -> Detections:
    boxes = detections.boxes
    large = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1) >= min_face
    return Detections(boxes[large], detections.scores[large], detections.image_size)


def _from_score(detections: Detections, score_threshold: float) -> Detections:
    kept = detections.scores >= score_threshold
    return Detections(detections.boxes[kept], detections.scores[kept], detections.image_size)
