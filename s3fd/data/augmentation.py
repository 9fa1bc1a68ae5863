"""The augmentation of S3FD, section 3.4, and the collage that makes small faces occur.

Every function takes its own random generator, so that a sample is a function of its seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

from s3fd.data.annotations import AnnotatedImage, FloatArray

# Faces with a side below this are too small to learn from: they become ignore boxes.
MIN_FACE = 6.0


@dataclass(frozen=True)
class Sample:
    """A square training image.

    Attributes:
        image: uint8 ``[S, S, 3]``, RGB.
        boxes: float32 ``[N, 4]``, faces, in its pixels.
        ignore: float32 ``[M, 4]``, regions that are neither face nor background.
    """

    image: np.ndarray
    boxes: FloatArray
    ignore: FloatArray


def square_patch(annotated: AnnotatedImage, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draws a square patch ``(x, y, side)`` of the image (section 3.4).

    One time in five the largest square, otherwise one of 0.3 to 1 of the short side. Most patches
    are laid around the centre of a face, and then large enough for all of it: a patch in the middle
    of a large face shows skin.
    """
    short = float(min(annotated.width, annotated.height))
    side = short if rng.random() < 0.2 else short * rng.uniform(0.3, 1.0)
    if len(annotated.boxes) and rng.random() < 0.8:
        x1, y1, x2, y2 = annotated.boxes[rng.integers(len(annotated.boxes))]
        side = min(short, max(side, 1.2 * float(max(x2 - x1, y2 - y1))))
        x = _offset_around((x1 + x2) / 2, side, annotated.width, rng)
        y = _offset_around((y1 + y2) / 2, side, annotated.height, rng)
    else:
        x = rng.uniform(0.0, annotated.width - side)
        y = rng.uniform(0.0, annotated.height - side)
    return x, y, side


def _offset_around(centre: float, side: float, length: int, rng: np.random.Generator) -> float:
    """A patch offset that keeps `centre` inside the patch and the patch inside the image."""
    low, high = max(0.0, float(centre) - side), min(float(centre), length - side)
    return rng.uniform(low, high) if low < high else min(max(low, 0.0), length - side)


def crop(
    annotated: AnnotatedImage,
    patch: tuple[float, float, float],
    size: int,
    colours: FloatArray | None = None,
) -> Sample:
    """Cuts a square patch out of the photo and scales it to ``size x size``.

    Faces are kept, clipped, if their centre lies in the patch. Of the others, what is visible
    becomes an ignore box, and so do faces that are too small after the scaling.

    Args:
        annotated: the photo.
        patch: ``(x, y, side)``, inside the photo.
        size: side of the result.
        colours: ``[3, 4]`` from `colour_distortion`, or None to leave the colours as they are.
    """
    x, y, side = patch
    boxes, ignore = _transform(annotated, x, y, side, size)
    rgb = _decode(annotated, size / side)
    sx, sy = rgb.width / annotated.width, rgb.height / annotated.height
    box = (
        x * sx,
        y * sy,
        min((x + side) * sx, rgb.width),
        min((y + side) * sy, rgb.height),
    )
    resized = rgb.resize((size, size), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    if colours is not None:
        resized = resized.convert("RGB", tuple(colours.ravel().tolist()))
    return Sample(np.asarray(resized), boxes, ignore)


def _decode(annotated: AnnotatedImage, scale: float) -> Image.Image:
    """The photo in RGB, upright, at least `scale` times as large as it is.

    A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough, which
    costs that much less.
    """
    try:
        with Image.open(annotated.path) as image:
            size, annotated_size = image.size, (annotated.width, annotated.height)
            if image.getexif().get(ExifTags.Base.Orientation, 1) > 4:  # lies on its side
                size = size[1], size[0]
            if size != annotated_size:
                raise ValueError(f"it is {size}, not {annotated_size}")
            image.draft("RGB", (int(image.width * scale), int(image.height * scale)))
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{annotated.path}: cannot be trained on ({error}); mend it, or take it out of "
            "annotations.json"
        ) from error


def _transform(
    annotated: AnnotatedImage, x: float, y: float, side: float, size: int
) -> tuple[FloatArray, FloatArray]:
    scale = size / side
    shift = np.array([x, y, x, y], dtype=np.float32)
    boxes = (annotated.boxes - shift) * np.float32(scale)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres >= 0) & (centres < size)).all(axis=1)
    boxes = boxes.clip(0, size)
    kept = inside & ((boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) >= MIN_FACE)
    ignore = ((annotated.ignore - shift) * np.float32(scale)).clip(0, size)
    ignore = np.concatenate([boxes[~kept], ignore])
    visible = ((ignore[:, 2:] - ignore[:, :2]) > 0).all(axis=1)
    return boxes[kept], ignore[visible]


def flip(sample: Sample) -> Sample:
    """Mirrors left and right."""
    width = sample.image.shape[1]
    return Sample(
        sample.image[:, ::-1], _flip_boxes(sample.boxes, width), _flip_boxes(sample.ignore, width)
    )


def _flip_boxes(boxes: FloatArray, width: int) -> FloatArray:
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)


def collage(tiles: list[Sample], count: int) -> Sample:
    """Lays ``count x count`` square samples side by side, row by row."""
    size = tiles[0].image.shape[0]
    rows = [
        np.concatenate([tile.image for tile in tiles[row * count : (row + 1) * count]], axis=1)
        for row in range(count)
    ]
    shifts = [
        np.array([column, row, column, row], dtype=np.float32) * size
        for row in range(count)
        for column in range(count)
    ]
    return Sample(
        np.concatenate(rows),
        np.concatenate([tile.boxes + shift for tile, shift in zip(tiles, shifts, strict=True)]),
        np.concatenate([tile.ignore + shift for tile, shift in zip(tiles, shifts, strict=True)]),
    )


def plain(size: int, rng: np.random.Generator) -> Sample:
    """A square of one colour, or of a few that fade into each other: no face, nothing to see."""
    knots = int(rng.integers(1, 6))
    colours = rng.uniform(0, 255, 3) + rng.uniform(0, 64) * rng.standard_normal((knots, knots, 3))
    image = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    none = np.zeros((0, 4), dtype=np.float32)
    return Sample(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)), none, none)


def place(tile: Sample, ground: Sample, rng: np.random.Generator) -> Sample:
    """Lays a small square sample somewhere on a larger one that has no faces."""
    room = ground.image.shape[0] - tile.image.shape[0]
    x, y = (int(offset) for offset in rng.integers(0, room + 1, size=2))
    image = ground.image.copy()
    image[y : y + tile.image.shape[0], x : x + tile.image.shape[1]] = tile.image
    shift = np.array([x, y, x, y], dtype=np.float32)
    return Sample(image, tile.boxes + shift, tile.ignore + shift)


# Luma weights of BT.601, and the plane of hue and saturation around that axis (YIQ).
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


def colour_distortion(rng: np.random.Generator) -> FloatArray:
    """Draws brightness, contrast, saturation and hue as one affine map of colours.

    Returns:
        float32 ``[3, 4]``: a colour ``c`` becomes ``m[:, :3] @ c + m[:, 3]``, clipped to 0 to 255.
        All four distortions are affine in RGB, so that one pass over the pixels does them all. One
        image in ten loses its colour.
    """
    brightness = rng.uniform(-32.0, 32.0) if rng.random() < 0.5 else 0.0
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue = rng.uniform(-0.1, 0.1) * np.pi if rng.random() < 0.5 else 0.0
    if rng.random() < 0.1:
        saturation = 0.0
    rotation = np.array([[np.cos(hue), -np.sin(hue)], [np.sin(hue), np.cos(hue)]])
    yiq = np.eye(3)
    yiq[1:, 1:] = saturation * rotation
    matrix = contrast * (_FROM_YIQ @ yiq @ _TO_YIQ)
    offset = np.full((3, 1), brightness + 128.0 * (1.0 - contrast))
    return np.concatenate([matrix, offset], axis=1).astype(np.float32)
