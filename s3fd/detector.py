"""Faces out of photos: images of any kind and size in, `Detections` out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from numbers import Integral
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

import numpy as np
import torch

from s3fd.defaults import (
    BATCH_SIZE,
    IOU_THRESHOLD,
    MAX_PIXELS,
    MAX_SIZE,
    SCORE_THRESHOLD,
    Precision,
)
from s3fd.detections import Detections
from s3fd.devices import Device, resolve_device
from s3fd.images import ChannelOrder, ImageLike, ImageWarning, Source, UInt8Array
from s3fd.images.sources import (
    ImageSource,
    SourcedImage,
    given_images,
    is_single,
    stream_images,
)
from s3fd.messages import shown
from s3fd.models import S3FD, load_checkpoint
from s3fd.models.checkpoint import weights_path
from s3fd.network import Network
from s3fd.ops._checks import check_size
from s3fd.pipeline import in_order
from s3fd.scaled_image import ScaledImage
from s3fd.search import MultiScale, Search, SingleScale, chosen_search

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from s3fd.search import MultiScaleSettings, SingleScaleSettings, StreamSettings

OnError: TypeAlias = Literal["raise", "skip"] | Callable[[Source, Exception], object]
"""What is to become of images that can't be read: see `FaceDetector.stream`."""


class FaceDetector:
    """Finds faces with an `S3FD` network.

    Call it for images at hand; `stream` takes folders, videos, cameras and whatever does not fit
    into memory; `detect_multiscale` looks closer.

    Images are shrunk by their own factor (antialiased; enlarged only for `min_face` and in
    `detect_multiscale`), padded on the right and below with what the network sees as its mean
    colour, and go through the network together. How much an image is padded depends on its own size
    alone, and only images of one padded size share a batch: what is found in an image does not
    depend on the others, but for rounding.

    The detector may be called from several threads.

    Args:
        model: a copy of it is used, with its batch norms folded: the model itself may be trained
            on.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; None is CUDA where there are a GPU
            and the package's kernels for it, and the CPU elsewhere.
        precision: ``"float32"``, ``"bfloat16"`` or ``"float16"``, of the weights and of what the
            network computes; or ``"auto"``: bfloat16 on a CPU that multiplies in it, float32
            elsewhere. Boxes and scores are float32 in any.

    Raises:
        TypeError: the model is no `S3FD`: `from_pretrained` takes names and files.
        ValueError: there is no such device here, or no such precision.

    Example:
        >>> import numpy as np
        >>> detector = FaceDetector.from_pretrained("light", device="cpu")
        >>> detector
        FaceDetector('light', device='cpu', precision='...')
        >>> detector(np.zeros((48, 64, 3), dtype=np.uint8))
        Detections(boxes=tensor([], size=(0, 4)), scores=tensor([]), image_size=(48, 64))
    """

    def __init__(
        self, model: S3FD, device: Device = None, *, precision: Precision = "auto"
    ) -> None:
        self._network = Network(model, resolve_device(device), precision)

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = "light",
        device: Device = None,
        *,
        precision: Precision = "auto",
    ) -> FaceDetector:
        """Loads weights: bundled ones by their name, or a file in any known format.

        Args:
            name_or_path: a name goes before a file of that name; ``./light`` is the file.
            device: as for `FaceDetector`.
            precision: as for `FaceDetector`.

        Raises:
            TypeError: it is no name and no path; a network is what `FaceDetector` itself takes.
            FileNotFoundError: neither bundled weights nor a file have this name.
            ValueError: the file is not one of S3FD's (see `s3fd.models.load_checkpoint`), or there
                is no such device here, or no such precision.
        """
        device = resolve_device(device)
        return cls(load_checkpoint(weights_path(name_or_path)), device, precision=precision)

    def __repr__(self) -> str:
        return (
            f"FaceDetector({self.model.config.backbone!r}, device={str(self.device)!r}, "
            f"precision={self.precision!r})"
        )

    @property
    def model(self) -> S3FD:
        """The network, with its batch norms folded."""
        return self._network.model

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self._network.device

    @property
    def precision(self) -> Precision:
        """Of the network: what ``"auto"`` came to."""
        return self._network.precision

    def to(self, device: Device) -> FaceDetector:
        """Moves the network to another device, and returns the detector itself.

        It keeps its precision, whatever ``"auto"`` would be there.

        Raises:
            ValueError: there is no such device here.
        """
        self._network.to(resolve_device(device))
        return self

    def warmup(self, image_size: tuple[int, int] = (480, 640), batch_size: int = 1) -> FaceDetector:
        """Lets the network see a black image, so that the first real one takes no longer.

        Args:
            image_size: height and width of the images to come, as the network gets them.
            batch_size: images of a batch.

        Returns:
            The detector itself.

        Raises:
            TypeError, ValueError: these are not integers, or there is nothing to see.
        """
        size = check_size("image_size", image_size)
        if 0 in size:
            raise ValueError(f"image_size: expected at least one pixel, got {image_size!r}")
        search = SingleScale(max_size=None, batch_size=batch_size)
        black = np.zeros((*size, 3), dtype=np.uint8)
        self._find([black] * int(batch_size), search, "RGB")
        return self

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a str is an iterable of str, too
        self,
        images: ImageLike,
        *,
        channel_order: ChannelOrder = ...,
        **settings: Unpack[SingleScaleSettings],
    ) -> Detections: ...

    @overload
    def __call__(
        self,
        images: Iterable[ImageLike],
        *,
        channel_order: ChannelOrder = ...,
        **settings: Unpack[SingleScaleSettings],
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
        channel_order: ChannelOrder = "RGB",
    ) -> Detections | list[Detections]:
        """Finds the faces of one image, or of each of several.

        Args:
            images: an image (see `s3fd.images.read_image`: a path, the bytes of a file, an open
                file, a PIL image, an array, a tensor), or a list or other iterable of them, mixed
                in kind and size, or a batch: an array ``[N, H, W, C]``, a tensor ``[N, C, H, W]``.
            score_threshold: faces with a smaller score are dropped; in [0, 1].
            iou_threshold: of two faces that overlap more, the one with the larger score stays.
            max_size: images whose longest side is larger are shrunk to it, in pixels; None for
                images as they are. Smaller is faster, larger finds smaller faces.
            min_face: longest side of the smallest faces that are wanted, in pixels of the original
                image; smaller ones are dropped. It sets the scale at which such a face meets the
                smallest anchors (16 px), whatever `max_size` says: large images are shrunk to it,
                which makes them much faster; or they are looked at more closely as well, enlarged
                and in tiles, at most four times, which finds faces of 8 px and takes longer
                (`s3fd.closer`).
            batch_size: images in one forward pass at most.
            channel_order: of arrays and tensors: ``"BGR"`` for those of OpenCV.

        Returns:
            `Detections` for one image, or a list with those of each, in their order. They are in
            pixels of the original image, turned upright, and know their `source`.

        Raises:
            TypeError, FileNotFoundError, ValueError: as `s3fd.images.read_image`, naming
                ``images[i]``; or another argument is not as described above. Of many images, the
                results are lost then: `stream` gives those of before, or goes on.
        """
        search = SingleScale(score_threshold, iou_threshold, max_size, min_face, batch_size)
        return self._find(images, search, channel_order)

    @overload
    def detect_multiscale(  # type: ignore[overload-overlap]  # as above
        self,
        images: ImageLike,
        *,
        channel_order: ChannelOrder = ...,
        **settings: Unpack[MultiScaleSettings],
    ) -> Detections: ...

    @overload
    def detect_multiscale(
        self,
        images: Iterable[ImageLike],
        *,
        channel_order: ChannelOrder = ...,
        **settings: Unpack[MultiScaleSettings],
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
        channel_order: ChannelOrder = "RGB",
    ) -> Detections | list[Detections]:
        """Finds faces at several scales: slower by far, and better with small and odd faces.

        The paper's test-time protocol (its authors' ``wider_test.py``): every image is looked at
        as it is, mirrored, halved for large faces, and enlarged for small ones
        (`s3fd.multiscale.plan_passes`); what is found in all of that is merged by
        `s3fd.ops.vote_boxes`, and the 750 best are kept.

        Args:
            images: as for calling the detector.
            score_threshold: faces with a smaller score are dropped; in [0, 1]. It is applied after
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
            channel_order: as for calling the detector.

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
        search = MultiScale(
            score_threshold, iou_threshold, max_pixels, min_face, keep_single, batch_size
        )
        return self._find(images, search, channel_order)

    def stream(
        self,
        source: ImageSource,
        *,
        on_error: OnError = "raise",
        keep_images: bool = False,
        multi_scale: bool = False,
        channel_order: ChannelOrder = "RGB",
        **settings: Unpack[StreamSettings],
    ) -> Generator[Detections, None, None]:
        """Finds faces in one image after the other, of a source of any length.

        The results come in the order of the images, a few batches after them; meanwhile the next
        images are read. The memory does not grow with their number. As with any generator, one
        thread at a time may ask a stream for its next result; several may each have their own.

        Args:
            source: a photo, a folder (all photos in and below it), a glob, a video, the number of a
                camera, a batch, or a list, generator or other iterable of images and names of
                files, folders, globs and videos. Only text is a glob, where no file has that very
                name; a `pathlib.Path` is one file or folder. Of a camera, frames are left out while
                the network is busy. Videos and cameras need PyAV (``pip install 's3fd[video]'``).
            on_error: what is to become of images that can't be read: ``"raise"`` their error, after
                the results of those before; ``"skip"`` them with an `ImageWarning`; or something to
                call with their `s3fd.images.Source` and the error, in the order of the images. What
                an iterable raises itself, when it is asked for the next image, ends the stream.
            keep_images: whether the results keep the pixels as `Detections.image`, for drawing
                and cutting. Photos are read again for that where they are not kept.
            multi_scale: whether to search as `detect_multiscale` does.
            channel_order: of arrays and tensors.
            settings: those of calling the detector, or of `detect_multiscale`.

        Yields:
            `Detections` of each image, which know their `source`: a path, or a frame and its time.

        Raises:
            TypeError, ValueError: a setting is not as described there, or the source is nothing of
                the above.
            Exception: with ``on_error="raise"``, as calling the detector does.

        Warns:
            ImageWarning: photos are skipped, or a folder holds what can't be read here.

        Example:
            >>> import numpy as np
            >>> detector = FaceDetector.from_pretrained("light", device="cpu")
            >>> grey = (np.full((48, 64, 3), level, dtype=np.uint8) for level in range(0, 250, 50))
            >>> [len(faces) for faces in detector.stream(grey)]
            [0, 0, 0, 0, 0]
        """
        search = chosen_search(settings, multi_scale=multi_scale)
        if on_error not in ("raise", "skip") and not callable(on_error):
            raise ValueError(
                f"on_error: expected 'raise', 'skip' or something to call, got {shown(on_error)}"
            )
        live = isinstance(source, Integral)
        images = stream_images(source, channel_order)
        return self._results(images, search, on_error, keep_images=keep_images, live=live)

    def _find(
        self, images: ImageLike | Iterable[ImageLike], search: Search, channel_order: ChannelOrder
    ) -> Detections | list[Detections]:
        given = given_images(images, channel_order)
        if not is_single(images):
            return list(self._results(given, search, "raise"))
        image = next(given)
        (found,) = search.find([search.prepare(image, self._network)], self._network)
        return replace(found, source=image.source)

    def _results(
        self,
        images: Iterable[SourcedImage],
        search: Search,
        on_error: OnError,
        *,
        keep_images: bool = False,
        live: bool = False,
    ) -> Generator[Detections, None, None]:
        network = self._network

        def prepare(image: SourcedImage) -> tuple[list[ScaledImage], UInt8Array | None]:
            if not keep_images:
                return search.prepare(image, network), None
            pixels = image.read()
            kept = replace(image, image=pixels, is_read=True)
            return search.prepare(kept, network), pixels

        def work(
            prepared: list[tuple[list[ScaledImage], UInt8Array | None]],
        ) -> Iterator[Detections]:
            found = search.find([looks for looks, _ in prepared], network)
            for faces, (_, pixels) in zip(found, prepared, strict=True):
                yield replace(faces, image=pixels)

        together = search.batch_size if keep_images else search.together
        together, ahead = (1, 0) if live else (together, together)
        results = in_order(
            images,
            prepare,
            work,
            together=together,
            ahead=ahead,
            weigh=attrgetter("weight"),
            strip=SourcedImage.stripped,
        )
        with closing(results):
            for image, outcome in results:
                if isinstance(outcome, Detections):
                    yield replace(outcome, source=image.source)
                elif on_error == "raise":
                    raise outcome
                elif on_error == "skip":
                    warnings.warn(f"skipped: {outcome}", ImageWarning, stacklevel=2)
                else:
                    on_error(image.source, outcome)
