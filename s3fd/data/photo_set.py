"""Photos with faces, whatever the form of their labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image, has_area, read_annotations
from s3fd.data.formats.afw_pascal import face_eval_labels, read_face_eval
from s3fd.data.formats.coco import coco_labels, read_coco
from s3fd.data.formats.pascal_voc import read_pascal_voc
from s3fd.data.formats.wider_face import read_wider_face, wider_face_labels


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """The photos of one split.

    Attributes:
        root: where they come from.
        form: one of `FORMS`.
        photos: in the order of the labels.
    """

    root: Path
    form: str
    photos: list[AnnotatedImage]

    def summary(self) -> str:
        """What there is, and what will not be learned from, in one line.

        Example:
            >>> box, none = np.array([[0, 0, 9, 9]], np.float32), np.zeros((0, 4), np.float32)
            >>> PhotoSet(Path("data"), "wider-face", [
            ...     AnnotatedImage(Path("a.jpg"), None, None, box, none),
            ...     AnnotatedImage(Path("b.jpg"), None, None, none, box)]).summary()
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


def read_photos(root: str | Path, split: str = "train", form: str | None = None) -> PhotoSet:
    """Reads the labels of a set of photos, in any of these forms.

    - ``"annotations"``: this package's ``annotations.json``;
    - ``"coco"``: JSON in the form of COCO;
    - ``"wider-face"``: ``WIDER_train/images`` and ``wider_face_split``, text or ``.mat``;
    - ``"face-eval"``: AFW or PASCAL faces, ``.mat``;
    - ``"pascal-voc"``: ``Annotations/*.xml`` and ``JPEGImages``;
    - ``"fddb"``: ``folds`` and ``images``. Photos whose file is missing are left out.

    Boxes that nothing can be learned from, because their labels say so or because they have no
    area, become ignore boxes. The photos themselves are not opened.

    Args:
        root: the folder, or the file of the labels.
        split: such as ``"train"`` or ``"val"``. AFW, PASCAL faces and FDDB have none: all of them
            is read.
        form: None finds it out.

    Raises:
        FileNotFoundError: `root`, its labels or its photos are not there.
        ImportError: the labels need a package that is not installed.
        ValueError: no form, or not the asked one, fits; the labels are malformed; there is no photo
            of the split.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"data: {root} does not exist")
    if form is not None and form not in FORMS:
        raise ValueError(f"form: expected one of {', '.join(FORMS)}, got {form!r}")
    found = form or _form_of(root, split)
    photos = FORMS[found](root, split)
    if not photos:
        raise ValueError(f"{root}: there is no photo of split {split!r}")
    return PhotoSet(root, found, photos)


def _form_of(root: Path, split: str) -> str:
    """Finds out the form of the labels from the names of files and, for JSON, from the start."""
    json_file = root if root.suffix == ".json" else root / "annotations.json"
    if json_file.is_file():
        return "coco" if _is_coco(json_file) else "annotations"
    if root.is_file():
        return "wider-face" if root.name.startswith("wider_face") else "face-eval"
    tests: dict[str, Callable[[], object]] = {
        "wider-face": lambda: (
            wider_face_labels(root, split) or (root / "wider_face_split").is_dir()
        ),
        "fddb": lambda: any(root.glob("folds/FDDB-fold-*.txt")),
        "pascal-voc": lambda: any(root.glob("Annotations/*.xml")),
        "face-eval": lambda: face_eval_labels(root),
        "coco": lambda: coco_labels(root, split),
    }
    for form, test in tests.items():
        if test():
            return form
    raise FileNotFoundError(
        f"data: {root} holds no labels that are known: neither annotations.json, "
        "wider_face_split/, Annotations/*.xml, folds/FDDB-fold-01.txt, anno.mat, nor "
        "annotations/*.json"
    )


def _is_coco(file: Path) -> bool:
    """Whether a JSON file has COCO's lists; the keys of either form tell them apart."""
    text = file.read_text(encoding="utf-8", errors="replace")
    return re.search(r'"(annotations|file_name|categories)"\s*:', text) is not None


def _read_wider_face(root: Path, split: str) -> list[AnnotatedImage]:
    labels = root if root.is_file() else wider_face_labels(root, split)
    if labels is None:
        raise FileNotFoundError(
            f"data: {root / 'wider_face_split'} has neither wider_face_{split}_bbx_gt.txt nor "
            f"wider_face_{split}.mat"
        )
    return read_wider_face(labels)


def _read_coco(root: Path, split: str) -> list[AnnotatedImage]:
    labels = root if root.is_file() else root / "annotations.json"
    if not labels.is_file():
        labels = coco_labels(root, split) or root / "annotations" / f"instances_{split}.json"
    return read_coco(labels, split)


def _read_face_eval(root: Path, split: str) -> list[AnnotatedImage]:
    labels = root if root.is_file() else face_eval_labels(root)
    return read_face_eval(labels or root / "anno.mat")


def _read_fddb(root: Path, split: str) -> list[AnnotatedImage]:
    from s3fd.data.formats.fddb import read_fddb

    labelled = [photo.labelled() for photo in read_fddb(root)]
    photos = [annotated_image(p.path, p.boxes) for p in labelled if p.path.is_file()]
    if labelled and not photos:
        raise FileNotFoundError(
            f"data: not one of the {len(labelled)} photos is there, such as {labelled[0].path}"
        )
    return photos


FORMS: dict[str, Callable[[Path, str], list[AnnotatedImage]]] = {
    "annotations": read_annotations,
    "coco": _read_coco,
    "wider-face": _read_wider_face,
    "face-eval": _read_face_eval,
    "pascal-voc": read_pascal_voc,
    "fddb": _read_fddb,
}
"""The forms of labels, and what reads each."""
