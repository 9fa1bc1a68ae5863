"""Photos with faces, whatever the form of their labels."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from s3fd.data.annotations import AnnotatedImage, FloatArray, clipped, has_area
from s3fd.data.formats.afw_pascal import AFW_PASCAL
from s3fd.data.formats.annotations import ANNOTATIONS
from s3fd.data.formats.coco import COCO
from s3fd.data.formats.cvat import CVAT
from s3fd.data.formats.fddb import FDDB
from s3fd.data.formats.form import Form
from s3fd.data.formats.labelme import LABELME
from s3fd.data.formats.pascal_voc import PASCAL_VOC
from s3fd.data.formats.text import MALFORMED
from s3fd.data.formats.wider_face import WIDER_FACE
from s3fd.data.formats.yolo import YOLO
from s3fd.messages import shown

_FEW = 3  # boxes that are odd without a doubt about all


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos that belong together.

    Attributes:
        root: where they come from.
        form: one of `FORMS`.
        photos: in the order of the labels.
        split: the one that they are; None where the labels know no splits, and these are all photos
            (or a part of them that `hold_out` made).
    """

    root: Path
    form: str
    photos: list[AnnotatedImage]
    split: str | None

    def summary(self) -> str:
        """What there is, and what will not be learned from, in one line.

        Example:
            >>> box, none = np.array([[0, 0, 9, 9]], np.float32), np.zeros((0, 4), np.float32)
            >>> PhotoSet(Path("data"), "wider-face", [
            ...     AnnotatedImage(Path("a.jpg"), None, None, box, none),
            ...     AnnotatedImage(Path("b.jpg"), None, None, none, box)], "train").summary()
            'data (wider-face): 2 photos, 1 without a face; 1 faces; ignored: 1 invalid, 0 ...'
        """
        ignore = np.concatenate([np.zeros((0, 4), np.float32), *(p.ignore for p in self.photos)])
        invalid = int(has_area(ignore).sum())
        return (
            f"{self.root} ({self.form}): {len(self.photos)} photos, "
            f"{sum(not len(photo.boxes) for photo in self.photos)} without a face; "
            f"{sum(len(photo.boxes) for photo in self.photos)} faces; "
            f"ignored: {invalid} invalid, {len(ignore) - invalid} without area"
        )

    def describe(self) -> str:
        """Where the photos are from, without folders: for titles."""
        return f"{self.root.resolve().name}, " + (
            "all photos" if self.split is None else f"split {self.split}"
        )

    def hold_out(self) -> tuple[PhotoSet, PhotoSet]:
        """Nine tenths and the rest, drawn at random: of the same photos, the same at every call.

        Raises:
            ValueError: there is a single photo.

        Example:
            >>> photos = [AnnotatedImage(Path(f"{i}.jpg"), None, None, np.empty((0, 4)))
            ...           for i in range(30)]
            >>> most, rest = PhotoSet(Path("data"), "fddb", photos, None).hold_out()
            >>> len(most.photos), len(rest.photos)
            (27, 3)
        """
        count = len(self.photos)
        if count < 2:
            raise ValueError(
                f"{self.root}: expected two photos or more to hold out some, got {count}"
            )
        order = np.random.default_rng(0).permutation(count)
        held_out = set(order[: max(1, count // 10)].tolist())
        parts: list[list[AnnotatedImage]] = [[], []]
        for index, photo in enumerate(self.photos):
            parts[index in held_out].append(photo)
        most, rest = (replace(self, photos=part) for part in parts)
        return most, rest


def read_photos(
    root: str | Path, split: str = "train", form: str | None = None, classes: Sequence[str] = ()
) -> PhotoSet:
    """Reads the labels of a set of photos, in any of these forms.

    - ``"annotations"``: this package's ``annotations.json``;
    - ``"wider-face"``: ``WIDER_train/images`` and ``wider_face_split``, text or ``.mat``;
    - ``"fddb"``: ``folds`` and ``images``. Photos whose file is missing are left out;
    - ``"pascal-voc"``: ``Annotations/*.xml`` and ``JPEGImages``, or an XML beside each photo;
    - ``"afw-pascal"``: AFW or PASCAL faces, ``.mat``;
    - ``"coco"``: JSON in the form of COCO;
    - ``"yolo"``: ``images`` and ``labels``, or a text beside each photo; perhaps ``data.yaml``;
    - ``"labelme"``: a JSON beside each photo;
    - ``"cvat"``: ``annotations.xml``.

    Boxes that nothing can be learned from, because their labels say so or because they have no
    area, become ignore boxes. The photos themselves are not opened.

    Args:
        root: the folder, or the file of the labels.
        split: such as ``"train"`` or ``"val"``. Where the labels know no splits (those of AFW,
            PASCAL faces and FDDB, and others in a single file), all photos are read, and
            `PhotoSet.split` is None.
        form: None finds it out.
        classes: the names of the classes that are faces, where the labels have classes; without
            any, that of "face".

    Warns:
        UserWarning: every fifth box lies mostly outside its photo, or has no area: the numbers may
            mean something else. A form's own doubts.

    Raises:
        FileNotFoundError: `root`, its labels or its photos are not there.
        ImportError: the labels need a package that is not installed.
        ValueError: no form, or not the asked one, fits; the labels are malformed, have other splits
            than the one that is asked for, no class of faces, a photo twice, or boxes that are no
            pixels; there is no photo.
        TypeError: `classes` is one name, not a list.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"data: {root} does not exist")
    if isinstance(classes, str):
        raise TypeError(f"classes: expected a list of names, got {shown(classes)}")
    if form is not None and form not in FORMS:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {shown(form)}")
    found = form or form_of(root)
    if classes and not FORMS[found].has_classes:
        raise ValueError(f"classes: the labels of {root} are in the form {found}, which has none")
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what isn't finite is refused
            photos, its_split = FORMS[found].read(root, split, classes)
    except ValueError:
        raise
    except MALFORMED as error:  # a reader says more of what it expects to be wrong
        raise ValueError(
            f"{root}: damaged, or no labels in the form {found} ({error!r})"
        ) from error
    if not photos:
        raise ValueError(f"{root}: there is no photo of split {split!r}")
    _check(root, photos)
    return PhotoSet(root, found, photos, its_split)


def _check(root: Path, photos: Sequence[AnnotatedImage]) -> None:
    """Refuses labels that are well written, and mean something else.

    Of a photo that is listed twice, the faces of one entry would be the background of the other.
    """
    times = Counter(os.path.abspath(photo.path) for photo in photos)  # noqa: PTH100  # no links
    path, most = max(times.items(), key=lambda item: item[1])
    if most > 1:
        raise ValueError(f"{root}: {most} entries are of {path}; list each photo once")
    faces = sum(len(photo.boxes) for photo in photos)
    flat = sum(int((~has_area(photo.ignore)).sum()) for photo in photos)
    if flat and not faces:
        raise ValueError(
            f"{root}: there is no face, but {flat} boxes without an area; are their corners in the "
            "order that the form has?"
        )
    largest = max((float(photo.boxes.max()) for photo in photos if len(photo.boxes)), default=2.0)
    if largest <= 1:
        raise ValueError(
            f"{root}: expected boxes in pixels, but no number in them is above 1; multiply them by "
            "the sizes of their photos"
        )
    outside = sum(_mostly_outside(photo) for photo in photos)
    for count, what in ((flat, "have no area"), (outside, "lie mostly outside their photos")):
        if count >= _FEW and count > (faces + flat) / 5:
            warnings.warn(
                f"{root}: {count} of {faces + flat} boxes {what}; are their numbers those that the "
                "form has, such as corners, or a corner and a size?",
                stacklevel=3,
            )


def _mostly_outside(photo: AnnotatedImage) -> int:
    """Faces of which the photo shows less than a half; none where its size is not known."""
    if photo.width is None or photo.height is None:
        return 0
    seen = clipped(photo.boxes, photo.width, photo.height)
    return int((2 * _areas(seen) < _areas(photo.boxes)).sum())


def _areas(boxes: FloatArray) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2:].astype(np.float64) - boxes[:, :2]).prod(axis=1)
    return areas


FORMS: dict[str, Form] = {
    "annotations": ANNOTATIONS,
    "wider-face": WIDER_FACE,
    "fddb": FDDB,
    "pascal-voc": PASCAL_VOC,
    "afw-pascal": AFW_PASCAL,
    "coco": COCO,
    "yolo": YOLO,
    "labelme": LABELME,
    "cvat": CVAT,
}
"""The forms of labels, in the order in which they are looked for."""


def form_of(root: Path) -> str:
    """Finds out the form of the labels from the names of files and, for JSON, from the start."""
    for name, form in FORMS.items():
        if form.holds(root):
            return name
    raise FileNotFoundError(
        f"data: {root} holds no labels that are known: neither annotations.json, "
        "wider_face_split/, folds/FDDB-fold-01.txt, XML of PASCAL VOC, anno.mat, "
        "annotations/*.json, data.yaml, images/ with labels/, texts of YOLO beside photos, JSON of "
        "LabelMe, nor annotations.xml"
    )
