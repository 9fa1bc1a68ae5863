"""One training image whose faces have a drawn size: all sizes occur equally often."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s3fd.data import augmentation, wear
from s3fd.data.annotations import AnnotatedImage, FloatArray
from s3fd.data.augmentation import Sample
from s3fd.data.colour import colour_distortion
from s3fd.data.drawing import PhotoReader
from s3fd.data.face_sizes import FaceSizes
from s3fd.data.graphics import with_graphics
from s3fd.data.patches import Patch, cutting, patch_around
from s3fd.data.photo import OpenPhoto
from s3fd.data.pixels import Beyond
from s3fd.data.plans import do
from s3fd.data.recipe import Augmentation

_TO_THE_LARGE = 1.5
# A face has at most this share of the side of its patch.
_LARGEST_SHARE = 0.95
# And on a plain ground or another photo, where there is nothing else to see, at least this.
_LEAST_SHARE = 0.15
# The side of a collage's tile is so many times that of its faces.
_ROOM = (1.6, 8.0)
_MOST_TILES = 4
_SMALLEST_TILE = 48
# In a collage, a tile from a photo without faces.
_EMPTY_TILES = 0.15
# Of the plain grounds.
_SPOTTED = 0.5
# Of the images without a face.
_PLAIN_OF_EMPTY = 0.5
_ATTEMPTS = 10
# What lies beyond a photo is the photo mirrored at its edges, and else a colour.
_MIRRORED = 0.15
# In pixels, of the detail that is lost: people behind the one in focus are seen like that.
_MOST_BLUR = 8.0
# The side of a face as one could print it after the blur; some are a little smaller than wanted.
_LEAST_DETAIL = 8.0
# Of the brightness: down to a room by candlelight.
_GAINS = (0.25, 1.0)
_QUALITIES = (10, 81)
# Of a face, by what covers a larger one beside it. That one itself loses no more than half.
_MOST_COVERED = 0.5
# Turned by more, a head is as good as lying, which `quarter_turns` covers.
_MOST_DEGREES = 30.0


@dataclass
class SizedDrawing:
    """Draws a face size first, and then photos that can show it.

    Attributes:
        photos: those that `sizes` numbers.
        sizes: their faces.
        distractors: what is in them that looks like faces, if that is known.
        without: photos without faces.
        recipe: all that is done to them.
        rng: what draws.
        size: side of the image.
        reader: of the photos.
        typefaces: of the letters that are drawn; without any Pillow's own.
    """

    photos: Sequence[AnnotatedImage]
    sizes: FaceSizes
    distractors: FaceSizes | None
    without: Sequence[AnnotatedImage]
    recipe: Augmentation
    rng: np.random.Generator
    size: int
    reader: PhotoReader
    typefaces: Sequence[Path] = ()

    def sample(self) -> Sample:
        """The image."""
        plain, background, empty = self.recipe.plain, self.recipe.background, self.recipe.empty
        kind = self.rng.random()
        if kind < plain:
            return self._on_a_ground(self._plain())
        if kind < plain + background:
            return self._on_a_ground(self._empty(self.size))
        if kind < plain + background + empty:
            if self.rng.random() < _PLAIN_OF_EMPTY:
                return self._worn(self._plain(), self.size)
            return self._empty(self.size)
        target = self._target(self.size)
        room = math.exp(self.rng.uniform(*np.log(_ROOM)))
        count = round(self.size / (target * room))
        count = min(max(count, 1), _MOST_TILES, max(1, self.size // _SMALLEST_TILE))
        if count == 1:
            return self._tile(target, self.size)
        side = self.size // count
        tiles = [self._collage_tile(target, side) for _ in range(count * count)]
        return augmentation.collage(tiles, count, self.size)

    def _target(self, side: int) -> float:
        """A face size, drawn on a logarithmic scale from those that fit into a patch.

        Larger ones are somewhat likelier: small faces come many at a time, in crowds and collages.
        """
        low, high = self.recipe.face_sizes
        high = max(low, min(high, _LARGEST_SHARE * side))
        share = 1 - (1 - self.rng.random()) ** _TO_THE_LARGE
        return float(low * (high / low) ** share)

    def _plain(self) -> Sample:
        ground = augmentation.plain(self.size, self.rng)
        if self.rng.random() < _SPOTTED:
            ground = augmentation.spotted(ground, self.rng)
        return self._with_graphics(ground)

    def _with_graphics(self, ground: Sample) -> Sample:
        chosen = self.rng.random() < self.recipe.graphics
        # Where every photo of a set has faces a ground may have some, too: they stay as they are.
        if not chosen or len(ground.boxes):
            return ground
        return with_graphics(ground, self.rng, self.typefaces)

    def _on_a_ground(self, ground: Sample) -> Sample:
        side = self.size // int(self.rng.integers(2, 5))
        target = max(self._target(side), _LEAST_SHARE * side)
        return augmentation.place(self._tile(target, side), ground, self.rng)

    def _collage_tile(self, target: float, side: int) -> Sample:
        """A tile whose faces are about as large as those of the others."""
        if self.rng.random() < _EMPTY_TILES:
            return self._empty(side)
        near = target * math.exp(self.rng.uniform(-0.5, 0.5))
        return self._tile(min(max(near, self.recipe.face_sizes[0]), _LARGEST_SHARE * side), side)

    def _tile(self, target: float, side: int) -> Sample:
        """A square patch around a face of about the wanted size, which it keeps if it can.

        Or around a distractor.
        """
        if self.distractors is not None and self.rng.random() < self.recipe.distractors:
            return self.reader.first_readable(*self._around(self.distractors, target, side))
        for _ in range(_ATTEMPTS):
            tile = self.reader.first_readable(*self._around(self.sizes, target, side))
            if len(tile.boxes):
                break
        return tile

    def _around(
        self, sizes: FaceSizes, target: float, side: int
    ) -> tuple[Iterator[AnnotatedImage], Callable[[OpenPhoto], Sample]]:
        faces: list[FloatArray] = []

        def photos() -> Iterator[AnnotatedImage]:
            while True:
                number, face = sizes.draw(target, self.rng)
                faces.append(face)
                yield self.photos[number]

        def make(opened: OpenPhoto) -> Sample:
            x1, y1, x2, y2 = (float(value) for value in faces[-1])
            scale = target / max(1.0, math.sqrt((x2 - x1) * (y2 - y1)))
            tile = self._patch(opened, faces[-1], scale, side)
            return self._worn(tile, target)

        return photos(), make

    def _empty(self, side: int) -> Sample:
        """A square patch of a photo without faces, large or small."""

        def photos() -> Iterator[AnnotatedImage]:
            while True:
                yield self.without[int(self.rng.integers(len(self.without)))]

        def make(opened: OpenPhoto) -> Sample:
            short = min(opened.width, opened.height)
            part = short * self.rng.uniform(0.4, 1.0)
            x, y = (
                self.rng.uniform(0, opened.width - part),
                self.rng.uniform(0, opened.height - part),
            )
            tile = augmentation.crop(opened, Patch(x, y, part), side, self._colours())
            return self._worn(self._with_graphics(self._flipped(tile)), side)

        return self.reader.first_readable(photos(), make)

    def _patch(self, opened: OpenPhoto, face: FloatArray, scale: float, side: int) -> Sample:
        """Cuts, turns and mirrors."""
        turned = self.rng.random() < self.recipe.rotate
        degrees = self.rng.uniform(-_MOST_DEGREES, _MOST_DEGREES) if turned else 0.0
        outer = augmentation.rotated_side(side, degrees) if turned else side
        patch = patch_around(
            opened.width, opened.height, face, side / scale, self.rng, margin=outer / side
        )
        if self.rng.random() < self.recipe.cut and not turned:
            patch = cutting(patch, face, self.rng)
        tile = augmentation.crop(
            opened, patch, outer, self._colours(), self._beyond(), all_boxes=turned
        )
        if turned:
            tile = augmentation.rotate(tile, degrees, side)
        if self.rng.random() < self.recipe.quarter_turns:
            tile = augmentation.quarter_turn(tile, int(self.rng.integers(1, 4)))
        return self._flipped(tile)

    def _beyond(self) -> Beyond:
        if self.rng.random() < _MIRRORED:
            return "mirror"
        red, green, blue = (int(level) for level in self.rng.integers(0, 256, 3))
        return red, green, blue

    def _colours(self) -> FloatArray | None:
        if not self.recipe.colour:
            return None
        return colour_distortion(self.rng, self.recipe.grey, self.recipe.sepia)

    def _flipped(self, tile: Sample) -> Sample:
        return augmentation.flip(tile) if self.rng.random() < self.recipe.flip else tile

    def _worn(self, tile: Sample, face: float) -> Sample:
        """What bad cameras, bad light and bad copies do.

        Faces that do not survive it, smaller ones beside the one of size `face`, are ignored.
        """
        image, boxes, ignore, rng = tile.image, tile.boxes, tile.ignore, self.rng
        wears = rng.random(5) < (
            self.recipe.occlusion, self.recipe.blur, self.recipe.dark, self.recipe.noise,
            self.recipe.jpeg,
        )  # fmt: skip
        if wears[0] and len(boxes):
            number = int(rng.integers(len(boxes)))
            others = np.concatenate([np.delete(boxes, number, axis=0), ignore])
            image, covered = wear.occlude(image, boxes[number], others, rng)
            seen = np.insert(covered[: len(boxes) - 1] <= _MOST_COVERED, number, True)
            boxes, ignore = boxes[seen], np.concatenate([ignore, boxes[~seen]])
        if wears[1] and face >= 2 * _LEAST_DETAIL:
            factor = rng.uniform(1.0, min(_MOST_BLUR, face / _LEAST_DETAIL))
            image = do(wear.blur, image, factor)
            sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
            seen = sides >= 0.75 * _LEAST_DETAIL * factor
            boxes, ignore = boxes[seen], np.concatenate([ignore, boxes[~seen]])
        if wears[2]:
            gain = math.exp(rng.uniform(*np.log(_GAINS)))
            image = do(wear.darken, image, rng.uniform(0.6, 2.5), gain)
        if wears[3]:
            deviation = rng.uniform(2.0, 20.0)
            begin = wear.noise_place(math.prod(image.shape), rng)
            image = do(wear.add_noise, image, deviation, begin)
        if wears[4]:
            image = do(wear.compress, image, int(rng.integers(*_QUALITIES)))
        return Sample(image, boxes, ignore, tile.tiny)
