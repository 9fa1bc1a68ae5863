"""Training images as a function of the seed and a position in the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from s3fd.data import augmentation, patches
from s3fd.data.annotations import AnnotatedImage, FloatArray
from s3fd.data.augmentation import Sample
from s3fd.data.colour import colour_distortion
from s3fd.data.patches import Patch
from s3fd.data.photo import OpenPhoto, open_photo
from s3fd.data.recipe import Augmentation
from s3fd.images import ImageError

# Photos that are tried for one image before it is made of what there is.
_ATTEMPTS = 10
_UNREADABLE_IN_A_ROW = 100


class TrainingSamples:
    """All training images of a run, in the order of shuffled epochs.

    A photo without a usable face teaches nothing alone, because negatives are mined in proportion
    to an image's faces. Hence a run without collages leaves such photos out, and takes another
    photo where a patch keeps no face; a run with collages puts them into these.

    Args:
        photos: the photos.
        augmentation: what is done to them.
        seed: of everything random.

    Raises:
        ValueError: there are no photos, or none has a face.
    """

    def __init__(
        self, photos: Sequence[AnnotatedImage], augmentation: Augmentation, seed: int
    ) -> None:
        with_faces = [photo for photo in photos if len(photo.boxes)]
        if not with_faces:
            raise ValueError(f"images: expected photos with faces, got {len(photos)} without any")
        self.photos = photos if sum(augmentation.collage) else with_faces
        self.augmentation = augmentation
        self.seed = seed
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def draw(self, position: int, size: int) -> tuple[Sample, dict[str, str]]:
        """Makes the image at a position of the endless sequence of epochs.

        Args:
            position: 0 is the first image of the run.
            size: its side in pixels.

        Returns:
            The image, and the path of each photo that couldn't be read with the reason. Another
            one, drawn from the same random numbers, took its place.

        Raises:
            ImageError: a hundred photos in a row can't be read.
        """
        rng = np.random.default_rng([self.seed, position])
        drawing = _Drawing(self.photos, self.augmentation, rng, size)
        return drawing.sample(self.photo(position)), drawing.skipped

    def photo(self, position: int) -> AnnotatedImage:
        """The photo at a position: every epoch shows all of them once, in an order of its own."""
        epoch, index = divmod(position, len(self.photos))
        if epoch not in self._permutations:
            rng = np.random.default_rng([self.seed, 1, epoch])
            self._permutations = {epoch: rng.permutation(len(self.photos))}
        return self.photos[int(self._permutations[epoch][index])]


@dataclass
class _Drawing:
    """The making of one image."""

    photos: Sequence[AnnotatedImage]
    recipe: Augmentation
    rng: np.random.Generator
    size: int
    skipped: dict[str, str] = field(default_factory=dict)

    def sample(self, photo: AnnotatedImage) -> Sample:
        shares = self.recipe.collage
        count = int(self.rng.choice(len(shares) + 1, p=[1 - sum(shares), *shares])) + 1
        if self.rng.random() < self.recipe.plain:
            small = self._tile(photo, self.size // int(self.rng.integers(2, 6)), needs_face=True)
            if small is not None:
                return augmentation.place(small, augmentation.plain(self.size, self.rng), self.rng)
        elif count == 1:
            single = self._single(photo)
            if single is not None:
                return single
        return self._collage(photo, max(2, count))

    def _single(self, photo: AnnotatedImage) -> Sample | None:
        """A patch of the photo that keeps a face; of others, if the run has no collages."""
        if sum(self.recipe.collage):
            return self._tile(photo, self.size, needs_face=True)
        for _ in range(_ATTEMPTS):
            tile = self._tile(photo, self.size, needs_face=True)
            if tile is not None:
                return tile
            photo = self._another()
        return self._tile(photo, self.size)

    def _collage(self, photo: AnnotatedImage, count: int) -> Sample:
        chosen = [photo, *(self._another() for _ in range(count * count - 1))]
        tiles = [self._tile(photo, self.size // count) for photo in chosen]
        return augmentation.collage([tile for tile in tiles if tile], count, self.size)

    def _tile(self, photo: AnnotatedImage, size: int, *, needs_face: bool = False) -> Sample | None:
        """One augmented square patch of the first photo that can be read.

        None if it must keep a face and does not, which is known before any pixel is decoded.
        """
        for _ in range(_UNREADABLE_IN_A_ROW):
            try:
                with open_photo(photo) as opened:
                    patch = self._patch(opened, size)
                    if needs_face and not patches.keeps_a_face(opened.boxes, patch, size):
                        return None
                    tile = augmentation.crop(opened, patch, size, self._colours())
            except (FileNotFoundError, ImageError) as error:
                self.skipped[str(photo.path)] = reason = str(error)
                photo = self._another()
                continue
            return augmentation.flip(tile) if self.rng.random() < self.recipe.flip else tile
        raise ImageError(
            f"{_UNREADABLE_IN_A_ROW} photos in a row can't be read; the last: {reason}"
        )

    def _colours(self) -> FloatArray | None:
        return colour_distortion(self.rng, self.recipe.grey) if self.recipe.colour else None

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
