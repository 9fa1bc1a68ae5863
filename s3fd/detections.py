"""What was found in an image: boxes with scores."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from s3fd import interchange
from s3fd.drawing import Box, cut_boxes, draw_boxes
from s3fd.file_kinds import JPEG_LONGEST, JPEG_SUFFIXES
from s3fd.files import write_picture
from s3fd.images import ChannelOrder, ImageLike, Source, UInt8Array, open_rgb
from s3fd.images.errors import reason
from s3fd.images.plugins import written_kind
from s3fd.messages import shown
from s3fd.settings import check_choice

if TYPE_CHECKING:
    import pandas as pd
    import supervision as sv


class Detection(NamedTuple):
    """One face: its box ``(x1, y1, x2, y2)`` in pixels of the image, and its score in 0 .. 1."""

    box: Box
    score: float


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of one image, by falling score; none is an empty one, never None.

    A number gives one face, a slice (``faces[:2]``), a mask (``faces[faces.scores > 0.9]``) or
    numbers give `Detections` again. Two are equal if their boxes, scores and image sizes are, bit
    by bit.

    Attributes:
        boxes: float32 ``[N, 4]`` on the CPU, ``(x1, y1, x2, y2)`` in pixels of the image, upright
            as its EXIF orientation says. Continuous coordinates: the width is ``x2 - x1``.
        scores: float32 ``[N]`` on the CPU, in 0 .. 1.
        image_size: height and width of the image.
        source: where the image comes from, if the detector was told.
        image: its pixels, uint8 ``[H, W, 3]`` in RGB, whatever order they came in, if they were to
            be kept (`FaceDetector.stream`).

    Raises:
        TypeError: boxes or scores are no tensors, or the size no two integers.
        ValueError: their shapes do not fit.

    Example:
        >>> import torch
        >>> boxes, scores = torch.tensor([[8.0, 4.0, 24.0, 28.0]]), torch.tensor([0.9])
        >>> faces = Detections(boxes, scores, image_size=(48, 64))
        >>> for box, score in faces:
        ...     print(box, round(score, 2))
        (8.0, 4.0, 24.0, 28.0) 0.9
        >>> len(faces[faces.scores > 0.95])
        0
        >>> [crop.size for crop in faces.crops(Image.new("RGB", (64, 48)), margin=0.25)]
        [(24, 34)]
    """

    boxes: Tensor
    scores: Tensor
    image_size: tuple[int, int]
    source: Source | None = field(default=None, repr=False)
    image: UInt8Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("boxes", "scores"):
            if not isinstance(getattr(self, name), Tensor):
                raise TypeError(
                    f"{name}: expected a tensor, got {type(getattr(self, name)).__name__}; "
                    "convert it with torch.as_tensor"
                )
            value = getattr(self, name).detach().to("cpu", torch.float32)
            if value.is_inference() and not torch.is_inference_mode_enabled():
                value = value.clone()  # which may be changed, and may take part in a training
            object.__setattr__(self, name, value)
        if self.boxes.dim() != 2 or self.boxes.shape[1] != 4:
            raise ValueError(f"boxes: expected [N, 4], got {list(self.boxes.shape)}")
        if self.scores.shape != self.boxes.shape[:1]:
            raise ValueError(
                f"scores: expected [{len(self.boxes)}], one for each box, "
                f"got {list(self.scores.shape)}"
            )
        expected = "image_size: expected (height, width), two positive integers"
        try:
            height, width = map(operator.index, self.image_size)
        except (TypeError, ValueError):
            raise TypeError(f"{expected}, got {shown(self.image_size)}") from None
        if height < 1 or width < 1:
            raise ValueError(f"{expected}, got {shown(self.image_size)}")
        object.__setattr__(self, "image_size", (height, width))

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for (x1, y1, x2, y2), score in zip(self.boxes.tolist(), self.scores.tolist(), strict=True):
            yield Detection((x1, y1, x2, y2), score)

    @overload
    def __getitem__(self, index: int) -> Detection: ...

    @overload
    def __getitem__(
        self, index: slice | Tensor | npt.NDArray[Any] | Sequence[Any]
    ) -> Detections: ...

    def __getitem__(
        self, index: int | slice | Tensor | npt.NDArray[Any] | Sequence[Any]
    ) -> Detection | Detections:
        """One face by its number; or those of a slice, a mask, or a list of numbers.

        Raises:
            IndexError: there is no such face, or a mask of another length.
            TypeError: neither a number, nor numbers, nor a mask.
        """
        if isinstance(index, slice):
            return self._chosen(_numbers(range(len(self))[index], torch.long))
        chosen = _numbers_or_mask(index)
        if chosen.dim() == 0 and chosen.dtype != torch.bool:
            x1, y1, x2, y2 = self.boxes[int(chosen)].tolist()
            return Detection((x1, y1, x2, y2), float(self.scores[int(chosen)]))
        if chosen.dtype == torch.bool and chosen.shape != self.scores.shape:
            raise IndexError(
                f"index: expected a mask [{len(self)}], one for each face, got {list(chosen.shape)}"
            )
        return self._chosen(chosen)

    def _chosen(self, index: Tensor) -> Detections:
        return replace(self, boxes=self.boxes[index], scores=self.scores[index])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        return (
            self.image_size == other.image_size
            and torch.equal(self.boxes, other.boxes)
            and torch.equal(self.scores, other.scores)
        )

    @property
    def xywh(self) -> Tensor:
        """float32 ``[N, 4]``: left, top, width and height of each box."""
        return torch.cat([self.boxes[:, :2], self.boxes[:, 2:] - self.boxes[:, :2]], dim=1)

    @property
    def areas(self) -> Tensor:
        """float32 ``[N]``: the area of each box, in square pixels."""
        return self.xywh[:, 2:].prod(dim=1)

    def sorted(
        self, by: Literal["score", "area", "left", "top"] = "score", *, reverse: bool = False
    ) -> Detections:
        """The same faces in another order; equal ones stay in theirs.

        Args:
            by: ``"score"``, best first; ``"area"``, largest first; ``"left"`` to right; ``"top"``
                to bottom.
            reverse: the other way round.

        Raises:
            ValueError: there is no such order.
        """
        check_choice("by", by, ("score", "area", "left", "top"))
        falling = by in ("score", "area")
        values = {
            "score": self.scores,
            "area": self.areas,
            "left": self.boxes[:, 0],
            "top": self.boxes[:, 1],
        }[by]
        return self._chosen(torch.argsort(values, descending=falling != reverse, stable=True))

    def numpy(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Boxes float32 ``[N, 4]`` and scores float32 ``[N]``, sharing memory with the tensors."""
        return self.boxes.numpy(), self.scores.numpy()

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, from which `from_dict` makes the same again, bit by bit.

        Returns:
            ``{"width": int, "height": int, "faces": [{"box": [x1, y1, x2, y2], "score": float}]}``.
        """
        boxes, scores = self.numpy()
        height, width = self.image_size
        faces = [
            {"box": [_shortest(x) for x in box], "score": _shortest(score)}
            for box, score in zip(boxes, scores, strict=True)
        ]
        return {"width": width, "height": height, "faces": faces}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Detections:
        """The opposite of `to_dict`; other entries are passed over.

        Raises:
            ValueError: an entry is missing or not as `to_dict` writes it.
        """
        try:
            faces = values["faces"]
            boxes = _numbers([face["box"] for face in faces], torch.float32)
            scores = _numbers([face["score"] for face in faces], torch.float32)
            size = (values["height"], values["width"])
            return cls(boxes.reshape(-1, 4) if not faces else boxes, scores, size)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "values: expected width, height, and faces with a box and a score each, as "
                f"to_dict writes them, got {shown(values)}"
            ) from error

    def to_coco(self, image_id: int | str, category_id: int = 1) -> list[dict[str, Any]]:
        """Rows of COCO's results, of which a JSON list is a file for its evaluation.

        Args:
            image_id: of the image in the file of annotations; numpy's integers become Python's,
                which JSON takes.
            category_id: of faces in it.

        Raises:
            TypeError: one is neither an integer nor, as images may have, a text.
        """
        return interchange.to_coco(self.xywh, self.scores, image_id, category_id)

    def to_pandas(self) -> pd.DataFrame:
        """A table with a row a face: ``x1, y1, x2, y2, score``, and where the image comes from.

        The columns ``source`` (a path, or what `s3fd.images.Source` is written as), and of videos
        ``frame`` and ``time``, tell rows apart after ``pandas.concat``.

        Raises:
            ImportError: pandas is not installed.
        """
        return interchange.to_pandas(self.boxes, self.scores, self.source)

    def to_supervision(self) -> sv.Detections:
        """The boxes for `supervision`, of class 0, named ``"face"``.

        Raises:
            ImportError: it is not installed.
        """
        return interchange.to_supervision(self.boxes, self.scores)

    def draw(
        self, image: ImageLike | None = None, *, channel_order: ChannelOrder = "RGB"
    ) -> Image.Image:
        """Draws the boxes into a copy of the image.

        Args:
            image: that they were found in, in any form that the detector takes; None reads the
                photo again, or takes the `image` that was kept.
            channel_order: of an array or tensor.

        Returns:
            An upright RGB image. Lines and labels grow with it; a line takes an eighth of its
            box's shorter side at most (and a pixel at least), and a label is left out where it
            would be larger than the face.

        Raises:
            ValueError: the image has another size, or none is at hand; or a coordinate of a box is
                NaN or infinite.
        """
        picture = self._opened(image, channel_order)
        best_first = self.sorted()
        labels = [f"{score:.2f}" for score in best_first.scores.tolist()]
        draw_boxes(picture, best_first._places(), labels)
        return picture

    def save(
        self,
        path: str | os.PathLike[str],
        image: ImageLike | None = None,
        *,
        channel_order: ChannelOrder = "RGB",
    ) -> None:
        """Writes what `draw` gives to a file, whose suffix says of what kind.

        Args:
            path: an existing file is replaced; its folder has to be there.
            image: as for `draw`.
            channel_order: as for `draw`.

        Raises:
            TypeError: the path is none; the image comes after it.
            ValueError: as `draw`, or Pillow writes no files with this suffix, or none of this size:
                a side of a JPEG has at most 65 500 pixels.
            FileNotFoundError: the folder does not exist.
        """
        if not isinstance(path, str | os.PathLike):
            raise TypeError(f"path: expected the name of a file, got {type(path).__name__}")
        path = Path(path)
        kind = written_kind(path.suffix.lower())
        if kind is None:
            raise ValueError(f"path: expected a name such as faces.jpg or faces.png, got {path}")
        height, width = self.image_size
        if path.suffix.lower() in JPEG_SUFFIXES and max(height, width) > JPEG_LONGEST:
            raise ValueError(
                f"path: a JPEG has at most {JPEG_LONGEST} pixels a side, and this picture "
                f"{width} x {height}; name it {path.with_suffix('.png').name}"
            )
        picture = self.draw(image, channel_order=channel_order)
        try:
            write_picture(picture, path, kind, quality=92)
        except (FileNotFoundError, MemoryError):
            raise
        except Exception as error:
            if getattr(error, "errno", None) is not None:  # of the disk, not of Pillow
                raise
            raise ValueError(
                f"path: Pillow can't write {width} x {height} pixels as {path.suffix} "
                f"({reason(error)}); name it {path.with_suffix('.png').name}"
            ) from error

    def crops(
        self,
        image: ImageLike | None = None,
        margin: float = 0.0,
        *,
        square: bool = False,
        channel_order: ChannelOrder = "RGB",
    ) -> list[Image.Image]:
        """Cuts every face out of the image, in their order.

        Args:
            image: as for `draw`.
            margin: what to add on each side, as a part of the box's width or height; of the
                longer of the two for squares.
            square: whether to cut squares around the centres of the boxes, as networks that
                recognise faces or find landmarks want them.
            channel_order: of an array or tensor.

        Returns:
            RGB images of whole pixels, at least 1 x 1. They contain their boxes, clipped at the
            image's border. Squares, whose centres are rounded to half a pixel, are not clipped,
            and black outside the image.

        Raises:
            ValueError: as `draw`, or the margin is negative or not finite.
        """
        if not (isinstance(margin, Real) and 0 <= float(margin) < math.inf):
            raise ValueError(f"margin: expected a number >= 0, got {shown(margin)}")
        picture = self._opened(image, channel_order)
        return cut_boxes(picture, self._places(), float(margin), square=square)

    def _places(self) -> list[Box]:
        """Boxes that lie somewhere."""
        if not self.boxes.isfinite().all():
            raise ValueError("boxes: expected finite coordinates, got NaN or infinite ones")
        return [face.box for face in self]

    def _opened(self, image: ImageLike | None, channel_order: ChannelOrder) -> Image.Image:
        if image is None and self.image is not None:
            picture = Image.fromarray(self.image)  # which was doubted when it was read
        else:
            given = self._photo() if image is None else image
            picture = open_rgb(given, channel_order=channel_order)
        if (picture.height, picture.width) != self.image_size:
            height, width = self.image_size
            raise ValueError(
                f"image: expected the one that these faces were found in, {width} x {height} "
                f"pixels, got {picture.width} x {picture.height}"
            )
        return picture

    def _photo(self) -> Path:
        """The photo that they were found in."""
        if self.source is not None and self.source.path and self.source.frame is None:
            return self.source.path
        raise ValueError(
            "image: expected the one that these faces were found in, which was not kept; pass it, "
            "or find faces with detector.stream(..., keep_images=True)"
        )


def _numbers(values: Sequence[Any], dtype: torch.dtype) -> Tensor:
    """Where the boxes are: torch's default device may be another."""
    return torch.tensor(values, dtype=dtype, device="cpu")


def _numbers_or_mask(index: object) -> Tensor:
    """What chooses faces, as int64 or bool: torch takes other integers for masks, or not at all."""
    expected = "index: expected a number, a slice, a mask [N] or numbers [M], got"
    try:
        # An array of its own: torch refuses those that run backwards, as argsort(...)[::-1] does.
        chosen = index if isinstance(index, Tensor) else torch.from_numpy(np.array(index))
    except (TypeError, ValueError):
        raise TypeError(f"{expected} {type(index).__name__} {shown(index)}") from None
    if chosen.numel() == 0 and chosen.dim() == 1 and chosen.dtype != torch.bool:
        chosen = chosen.long()
    if chosen.is_floating_point() or chosen.is_complex() or chosen.dim() > 1:
        raise TypeError(f"{expected} {type(index).__name__} {shown(index)}")
    return chosen.cpu() if chosen.dtype == torch.bool else chosen.to("cpu", torch.long)


def _shortest(value: np.float32) -> float:
    """The shortest decimal number that is this one in single precision: 0.9, not 0.89999998."""
    return float(str(value))
