"""Training images as a function of the seed and a position in the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from s3fd.data.annotations import AnnotatedImage
from s3fd.data.augmentation import Sample
from s3fd.data.drawing import PatchDrawing, PhotoReader
from s3fd.data.face_sizes import FaceSizes
from s3fd.data.graphics import typefaces
from s3fd.data.photo import Opener, open_photo
from s3fd.data.recipe import Augmentation
from s3fd.data.sized_drawing import SizedDrawing


class TrainingSamples:
    """All training images of a run, in the order of shuffled epochs.

    A photo without a usable face teaches nothing alone, because negatives are mined in proportion
    to an image's faces. Hence a run without collages leaves such photos out, and takes another
    photo where a patch keeps no face; a run with collages puts them into these.

    Args:
        photos: the photos.
        augmentation: what is done to them.
        seed: of everything random.
        open_photo: opens a photo: its file, or what a `PhotoCache` holds of it.

    Raises:
        FileNotFoundError, ValueError: as `graphics.typefaces`; or there are no photos, or none has
            a face.
    """

    def __init__(
        self,
        photos: Sequence[AnnotatedImage],
        augmentation: Augmentation,
        seed: int,
        open_photo: Opener = open_photo,
    ) -> None:
        with_faces = [photo for photo in photos if len(photo.boxes)]
        if not with_faces:
            raise ValueError(f"images: expected photos with faces, got {len(photos)} without any")
        uses_all = sum(augmentation.collage) or augmentation.crop == "size"
        self.photos = photos if uses_all else with_faces
        self.augmentation = augmentation
        self.seed = seed
        self.open_photo = open_photo
        self._sizes: FaceSizes | None = None
        self._distractors: FaceSizes | None = None
        if augmentation.crop == "size":
            self._sizes = FaceSizes([photo.boxes for photo in photos])
            distractors = [photo.distractors for photo in photos]
            if augmentation.distractors and any(map(len, distractors)):
                self._distractors = FaceSizes(distractors)
            self._without = [photo for photo in photos if not len(photo.boxes)] or [*photos]
            self._typefaces = typefaces(augmentation.fonts)
        self._permutations: dict[int, NDArray[np.int64]] = {}

    def draw(
        self, position: int, size: int, *, plans: bool = False
    ) -> tuple[Sample, dict[str, str]]:
        """Makes the image at a position of the endless sequence of epochs.

        Args:
            position: 0 is the first image of the run.
            size: its side in pixels.
            plans: say how the image is made instead of making it (`s3fd.data.plans`).

        Returns:
            The image, and the path of each photo that couldn't be read with the reason. Another
            one, drawn from the same random numbers, took its place.

        Raises:
            ImageError: a hundred photos in a row can't be read.
        """
        rng = np.random.default_rng([self.seed, position])
        reader = PhotoReader(self.open_photo, plans)
        if self._sizes is not None:
            sized = SizedDrawing(
                self.photos, self._sizes, self._distractors, self._without, self.augmentation,
                rng, size, reader, self._typefaces,
            )  # fmt: skip
            return sized.sample(), reader.skipped
        drawing = PatchDrawing(self.photos, self.augmentation, rng, size, reader)
        return drawing.sample(self.photo(position)), reader.skipped

    def photo(self, position: int) -> AnnotatedImage:
        """The photo at a position: every epoch shows all of them once, in an order of its own."""
        epoch, index = divmod(position, len(self.photos))
        if epoch not in self._permutations:
            rng = np.random.default_rng([self.seed, 1, epoch])
            self._permutations = {epoch: rng.permutation(len(self.photos))}
        return self.photos[int(self._permutations[epoch][index])]
