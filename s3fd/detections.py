"""What was found in an image: boxes with scores."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from s3fd.images import ImageLike, open_rgb

_COLOUR = (57, 255, 20)


class Detection(NamedTuple):
    """One face: its box ``(x1, y1, x2, y2)`` in pixels of the image, and its score in 0 .. 1."""

    box: tuple[float, float, float, float]
    score: float


@dataclass(frozen=True, eq=False)
class Detections:
    """The faces of one image, by falling score; none is an empty one, never None.

    Two are equal if their boxes, scores and image sizes are, bit by bit.

    Attributes:
        boxes: float32 ``[N, 4]`` on the CPU, ``(x1, y1, x2, y2)`` in pixels of the image, upright
            as its EXIF orientation says. Continuous coordinates: the width is ``x2 - x1``.
        scores: float32 ``[N]`` on the CPU, in 0 .. 1.
        image_size: height and width of the image.

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
        >>> [crop.size for crop in faces.crops(Image.new("RGB", (64, 48)), margin=0.25)]
        [(24, 34)]
    """

    boxes: Tensor
    scores: Tensor
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("boxes", "scores"):
            if not isinstance(getattr(self, name), Tensor):
                raise TypeError(
                    f"{name}: expected a tensor, got {type(getattr(self, name)).__name__}; "
                    "convert it with torch.as_tensor"
                )
            value = getattr(self, name).detach().to("cpu", torch.float32)
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
            height, width = map(int, self.image_size)
        except (TypeError, ValueError):
            raise TypeError(f"{expected}, got {self.image_size!r}") from None
        if height < 1 or width < 1:
            raise ValueError(f"{expected}, got {self.image_size!r}")
        object.__setattr__(self, "image_size", (height, width))

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        for (x1, y1, x2, y2), score in zip(self.boxes.tolist(), self.scores.tolist(), strict=True):
            yield Detection((x1, y1, x2, y2), score)

    def __getitem__(self, index: int) -> Detection:
        x1, y1, x2, y2 = self.boxes[index].tolist()
        return Detection((x1, y1, x2, y2), float(self.scores[index]))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        return (
            self.image_size == other.image_size
            and torch.equal(self.boxes, other.boxes)
            and torch.equal(self.scores, other.scores)
        )

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
            boxes = torch.tensor([face["box"] for face in faces], dtype=torch.float32)
            scores = torch.tensor([face["score"] for face in faces], dtype=torch.float32)
            size = (values["height"], values["width"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "values: expected width, height, and faces with a box and a score each, as "
                f"to_dict writes them, got {values!r}"
            ) from error
        return cls(boxes.reshape(-1, 4) if not faces else boxes, scores, size)

    def to_json(self) -> str:
        """`to_dict` as JSON, on one line."""
        return json.dumps(self.to_dict())

    def draw(self, image: ImageLike) -> Image.Image:
        """Draws the boxes into a copy of the image.

        Args:
            image: that they were found in, in any form that the detector takes.

        Returns:
            An upright RGB image. Lines and labels grow with it; a label is left out where it would
            be larger than the face.

        Raises:
            ValueError: the image has another size.
        """
        picture = self._opened(image)
        draw = ImageDraw.Draw(picture)
        longest = max(picture.size)
        line = max(1, round(longest / 400))
        font = ImageFont.load_default(size=max(10, round(longest / 60)))
        # The best one last, on top of what it overlaps.
        for box, score in reversed(list(self)):
            draw.rectangle(_outline(box, picture.size), outline=_COLOUR, width=line)
            _draw_label(draw, box, f"{score:.2f}", font, line)
        return picture

    def crops(self, image: ImageLike, margin: float = 0.0) -> list[Image.Image]:
        """Cuts every face out of the image, in their order.

        Args:
            image: that they were found in, in any form that the detector takes.
            margin: what to add on each side, as a part of the box's width or height.

        Returns:
            RGB images of whole pixels that contain their boxes, clipped at the image's border:
            not square, at least 1 x 1.

        Raises:
            ValueError: the image has another size, or the margin is negative or not finite.
        """
        if not (isinstance(margin, int | float) and 0 <= margin < math.inf):
            raise ValueError(f"margin: expected a number >= 0, got {margin!r}")
        picture = self._opened(image)
        crops = []
        for (x1, y1, x2, y2), _ in self:
            dx, dy = margin * (x2 - x1), margin * (y2 - y1)
            left, right = _pixels(x1 - dx, x2 + dx, picture.width)
            top, bottom = _pixels(y1 - dy, y2 + dy, picture.height)
            crops.append(picture.crop((left, top, right, bottom)))
        return crops

    def _opened(self, image: ImageLike) -> Image.Image:
        picture = open_rgb(image)
        if (picture.height, picture.width) != self.image_size:
            height, width = self.image_size
            raise ValueError(
                f"image: expected the one that these faces were found in, {width} x {height} "
                f"pixels, got {picture.width} x {picture.height}"
            )
        return picture


def _shortest(value: np.float32) -> float:
    """The shortest decimal number that is this one in single precision: 0.9, not 0.89999998."""
    return float(str(value))


def _pixels(low: float, high: float, length: int) -> tuple[int, int]:
    """First pixel, and the one after the last, of a stretch; at least one pixel of the image."""
    first = min(max(math.floor(low), 0), length - 1)
    return first, min(max(math.ceil(high), first + 1), length)


def _outline(
    box: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The first and last pixels of a box, as PIL's rectangles want them."""
    left, right = _pixels(box[0], box[2], size[0])
    top, bottom = _pixels(box[1], box[3], size[1])
    return left, top, right - 1, bottom - 1


def _draw_label(
    draw: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    line: int,
) -> None:
    """Writes `text` above the box, or into it where there is no room above."""
    _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
    width, height = right + 2 * line, bottom + 2 * line
    if width > 1.5 * (box[2] - box[0]):
        return
    x, y = box[0], box[1] - height if box[1] >= height else box[1]
    draw.rectangle((x, y, x + width, y + height), fill=_COLOUR)
    draw.text((x + line, y + line), text, fill="black", font=font)
