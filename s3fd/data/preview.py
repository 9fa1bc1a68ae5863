"""Pictures of what the augmentation does: ``s3fd train --preview``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from s3fd.data import augmentation as operations
from s3fd.data import patches
from s3fd.data.annotations import AnnotatedImage, FloatArray
from s3fd.data.augmentation import Sample
from s3fd.data.colour import colour_distortion
from s3fd.data.graphics import typefaces, with_graphics
from s3fd.data.patches import Patch
from s3fd.data.photo import OpenPhoto, open_photo
from s3fd.data.plans import pixels_of
from s3fd.data.recipe import Augmentation
from s3fd.data.samples import TrainingSamples
from s3fd.files import one_of, write_picture
from s3fd.images import ImageError, UInt8Array

_FACE, _IGNORE, _PATCH = (0, 230, 118), (255, 61, 0), (255, 214, 0)
_COLUMNS = 5
_GAP = 8


def preview(
    photos: Sequence[AnnotatedImage],
    folder: str | Path,
    *,
    seed: int = 1,
    input_size: int = 640,
    augmentation: Augmentation | None = None,
    side: int = 160,
) -> list[Path]:
    """Draws each augmentation on one photo, and the first images that a run would show.

    Faces are green, ignore boxes red, and the patches of ``patches.jpg`` yellow.

    Args:
        photos: the photos of the run.
        folder: where the pictures go; it is made if it is not there. Those of an earlier call are
            replaced, but none of the photos.
        seed: of everything random.
        input_size: side of the network's input.
        augmentation: of ``run.jpg``, the images of a run; the other pictures show each operation.
        side: of one square of a picture.

    Returns:
        The files that were written.

    Raises:
        FileExistsError: a picture would have the name of one of the photos in the folder.
        ImageError: not one photo with a face can be read.
        ValueError: no photo has a face.
    """
    samples = TrainingSamples(photos, augmentation or Augmentation(), seed)
    photo = _first_readable(samples)
    draw = _Strips(photo, np.random.default_rng(seed), input_size)
    letters = typefaces(samples.augmentation.fonts)
    strips: dict[str, Callable[[], list[Image.Image]]] = {
        "patches": draw.patches,
        "colour-distortion": draw.colours,
        "random-crop": draw.crops,
        "flip": draw.flips,
        "data-anchor-sampling": draw.anchors,
        "collage": lambda: _run(samples, input_size, Augmentation(collage=(0.4, 0.3, 0.3))),
        "plain-ground": lambda: _run(samples, input_size, Augmentation(plain=1.0)),
        "graphics": lambda: draw.graphics(letters),
        "run": lambda: _run(samples, input_size, samples.augmentation),
    }
    files = {name: Path(folder) / f"{name}.jpg" for name in strips}
    if taken := one_of(files.values(), (each.path for each in photos)):
        raise FileExistsError(
            f"folder: {taken} is one of the photos, which are never overwritten; name another "
            "folder"
        )
    Path(folder).mkdir(parents=True, exist_ok=True)
    return [_write(_side_by_side(strip(), side), files[name]) for name, strip in strips.items()]


def _first_readable(samples: TrainingSamples) -> AnnotatedImage:
    unreadable = ""
    for position in range(len(samples.photos)):
        photo = samples.photo(position)
        try:
            with open_photo(photo) as opened:
                opened.decode(1.0)
                if len(opened.boxes):
                    return photo
        except (FileNotFoundError, ImageError) as error:
            unreadable = str(error)
    raise ImageError(f"no photo with a face can be read; the last: {unreadable}")


class _Strips:
    """Rows of images that each show one operation, all on the same photo."""

    def __init__(self, photo: AnnotatedImage, rng: np.random.Generator, size: int) -> None:
        self._photo = photo
        self._rng = rng
        self._size = size

    def _crop(self, patch: Patch, colours: FloatArray | None = None) -> Sample:
        with open_photo(self._photo) as opened:
            return operations.crop(opened, patch, self._size, colours)

    def _largest(self, opened: OpenPhoto) -> Patch:
        short = float(min(opened.width, opened.height))
        return Patch((opened.width - short) / 2, (opened.height - short) / 2, short)

    def _patches(self) -> list[Patch]:
        """The paper's five: the largest, and four others."""
        with open_photo(self._photo) as opened:
            found: list[Patch] = []
            while len(found) < _COLUMNS:
                patch = patches.paper_patch(
                    opened.width, opened.height, opened.boxes, self._size, self._rng
                )
                is_largest = patch.side == min(opened.width, opened.height)
                if is_largest == (not found):
                    found.append(patch)
        return found

    def patches(self) -> list[Image.Image]:
        with open_photo(self._photo) as opened:
            picture = Image.fromarray(opened.decode(1.0))
            boxes = opened.boxes
        pen = ImageDraw.Draw(picture)
        width = max(2, min(picture.size) // 150)
        for box in boxes:
            pen.rectangle(box.tolist(), outline=_FACE, width=width)
        for x, y, side in self._patches():
            pen.rectangle([x, y, x + side - 1, y + side - 1], outline=_PATCH, width=width)
        return [picture]

    def crops(self) -> list[Image.Image]:
        return [_marked(self._crop(patch)) for patch in self._patches()]

    def colours(self) -> list[Image.Image]:
        with open_photo(self._photo) as opened:
            patch = self._largest(opened)
        distortions = [colour_distortion(self._rng) for _ in range(_COLUMNS - 1)]
        return [_marked(self._crop(patch, colours)) for colours in (None, *distortions)]

    def flips(self) -> list[Image.Image]:
        samples = [self._crop(patch) for patch in self._patches()[:2]]
        return [_marked(each) for sample in samples for each in (sample, operations.flip(sample))]

    def anchors(self) -> list[Image.Image]:
        with open_photo(self._photo) as opened:
            found = [
                patches.anchor_patch(
                    opened.width, opened.height, opened.boxes, self._size, self._rng
                )
                for _ in range(_COLUMNS)
            ]
        return [_marked(self._crop(patch)) for patch in found]

    def graphics(self, letters: Sequence[Path]) -> list[Image.Image]:
        grounds = [operations.plain(self._size, self._rng) for _ in range(_COLUMNS)]
        return [_marked(with_graphics(ground, self._rng, letters)) for ground in grounds]


def _run(samples: TrainingSamples, size: int, augmentation: Augmentation) -> list[Image.Image]:
    """The first images of a run."""
    run = TrainingSamples(samples.photos, augmentation, samples.seed)
    return [_marked(run.draw(position, size)[0]) for position in range(_COLUMNS)]


def _marked(sample: Sample) -> Image.Image:
    """A training image with its boxes."""
    picture = Image.fromarray(pixels_of(sample.image))
    pen = ImageDraw.Draw(picture)
    width = max(2, picture.width // 150)
    for boxes, colour in ((sample.ignore, _IGNORE), (sample.boxes, _FACE)):
        for box in boxes:
            pen.rectangle(box.tolist(), outline=colour, width=width)
    return picture


def _side_by_side(pictures: list[Image.Image], side: int) -> UInt8Array:
    """Pictures in a row, each as high as the others."""
    sized = [
        picture.resize((max(1, round(side * picture.width / picture.height)), side),
                       Image.Resampling.BOX, reducing_gap=None)
        for picture in pictures
    ]  # fmt: skip
    gap = np.full((side, _GAP, 3), 255, np.uint8)
    parts = [part for picture in sized for part in (np.asarray(picture), gap)]
    return np.concatenate(parts[:-1], axis=1)


def _write(pixels: UInt8Array, path: Path) -> Path:
    write_picture(Image.fromarray(pixels), path, "JPEG", quality=85)
    return path
