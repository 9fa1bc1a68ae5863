"""One training image: which patches of which photos it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TypeVar

import numpy as np

from s3fd.data import augmentation, patches
from s3fd.data.annotations import AnnotatedImage, FloatArray
from s3fd.data.augmentation import Sample
from s3fd.data.colour import colour_distortion
from s3fd.data.patches import Patch
from s3fd.data.photo import Opener, OpenPhoto
from s3fd.data.recipe import Augmentation
from s3fd.images import ImageError

_Made = TypeVar("_Made")

# Photos that are tried for one image before it is made of what there is.
_ATTEMPTS = 10
_UNREADABLE_IN_A_ROW = 100


@dataclass
class PhotoReader:
    """Opens photos, and passes over those that can't be read.

    Attributes:
        open_photo: of a file, or of a cache.
        plans: of the photos only plans are made (`OpenPhoto.planned`).
        skipped: the path of each photo that can't be read, and why.
    """

    open_photo: Opener
    plans: bool = False
    skipped: dict[str, str] = field(default_factory=dict)

    def first_readable(
        self, photos: Iterable[AnnotatedImage], make: Callable[[OpenPhoto], _Made]
    ) -> _Made:
        """What `make` makes of the first photo that can be read.

        Raises:
            ImageError: a hundred photos in a row can't be read.
        """
        for photo in islice(photos, _UNREADABLE_IN_A_ROW):
            try:
                with self.open_photo(photo) as opened:
                    opened.planned = self.plans
                    return make(opened)
            except (FileNotFoundError, ImageError) as error:
                self.skipped[str(photo.path)] = reason = str(error)
        raise ImageError(
            f"{_UNREADABLE_IN_A_ROW} photos in a row can't be read; the last: {reason}"
        )


@dataclass
class PatchDrawing:
    """The making of one image out of patches of photos, as the paper does it, and collages."""

    photos: Sequence[AnnotatedImage]
    recipe: Augmentation
    rng: np.random.Generator
    size: int
    reader: PhotoReader

    def sample(self, photo: AnnotatedImage) -> Sample:
        """The image of this photo; of others too, in a collage."""
        shares = self.recipe.collage
        count = int(self.rng.choice(len(shares) + 1, p=[1 - sum(shares), *shares])) + 1
        if self.rng.random() < self.recipe.plain:
            small = self._single(photo, self.size // int(self.rng.integers(2, 6)))
            if small is not None:
                return augmentation.place(small, augmentation.plain(self.size, self.rng), self.rng)
        elif count == 1:
            single = self._single(photo, self.size)
            if single is not None:
                return single
        return self._collage(photo, max(2, count))

    def _single(self, photo: AnnotatedImage, size: int) -> Sample | None:
        """A patch of the photo that keeps a face; of others, if the run has no collages."""
        if sum(self.recipe.collage):
            return self._tile(photo, size, needs_face=True)
        for _ in range(_ATTEMPTS):
            tile = self._tile(photo, size, needs_face=True)
            if tile is not None:
                return tile
            photo = self._another()
        return self._tile(photo, size)

    def _collage(self, photo: AnnotatedImage, count: int) -> Sample:
        chosen = [photo, *(self._another() for _ in range(count * count - 1))]
        tiles = [self._tile(photo, self.size // count) for photo in chosen]
        return augmentation.collage([tile for tile in tiles if tile], count, self.size)

    def _tile(self, photo: AnnotatedImage, size: int, *, needs_face: bool = False) -> Sample | None:
        """One augmented square patch of the first photo that can be read.

        None if it must keep a face and does not, which is known before any pixel is decoded.
        """

        def make(opened: OpenPhoto) -> Sample | None:
            patch = self._patch(opened, size)
            if needs_face and not patches.keeps_a_face(opened.boxes, patch, size):
                return None
            tile = augmentation.crop(opened, patch, size, self._colours())
            return augmentation.flip(tile) if self.rng.random() < self.recipe.flip else tile

        return self.reader.first_readable(chain([photo], iter(self._another, None)), make)

    def _colours(self) -> FloatArray | None:
        if not self.recipe.colour:
            return None
        return colour_distortion(self.rng, self.recipe.grey, self.recipe.sepia)

    def _patch(self, photo: OpenPhoto, size: int) -> Patch:
        measures = photo.width, photo.height, photo.boxes
        if self.rng.random() < self.recipe.anchor_sampling and len(photo.boxes):
            return patches.anchor_patch(*measures, size, self.rng)
        if self.recipe.crop == "photo":
            return patches.photo_patch(photo.width, photo.height, size)
        if self.recipe.crop == "face":
            return patches.face_patch(*measures, self.rng)
        return patches.paper_patch(*measures, size, self.rng)

    def _another(self) -> AnnotatedImage:
        return self.photos[int(self.rng.integers(len(self.photos)))]
