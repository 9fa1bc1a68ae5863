"""WIDER FACE (Yang et al., CVPR 2016) in the form that people download it.

Photos lie in ``WIDER_train/images``, labels in ``wider_face_split/wider_face_train_bbx_gt.txt`` or
``wider_face_train.mat``, and likewise for ``val``. Faces that the annotators marked as invalid, and
those without area, become ignore boxes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import Form, Labels, is_of_split, names_of_split, no_split
from s3fd.data.formats.matlab import read_mat
from s3fd.data.formats.text import Row, numbers, read_listing
from s3fd.messages import shortened, shown

_NAME = re.compile(r"wider_face_(\w+?)(_bbx_gt\.txt|\.mat)")
_VARIABLES = ("event_list", "file_list", "face_bbx_list", "invalid_label_list")
_INVALID = 7  # the column of the attribute: x y w h blur expression illumination invalid ...


@dataclass(frozen=True, eq=False)
class WiderFaceImage:
    """The faces of one image, as they are written.

    Attributes:
        name: event and file, such as ``0--Parade/0_Parade_marchingband_1_465.jpg``.
        boxes: float64 ``[N, 4]``, ``(x1, y1, x2, y2)``; x2 is x + width.
        invalid: bool ``[N]``, whether the annotators marked a face as invalid.
    """

    name: str
    boxes: NDArray[np.float64]
    invalid: NDArray[np.bool_]


def wider_face_file(root: Path, split: str) -> Path | None:
    """The file of the labels of a split, or None: the text if both forms are there."""
    folders = (root / "wider_face_split", root)
    for folder, name in product(folders, names_of_split(split)):
        for file in (folder / f"wider_face_{name}_bbx_gt.txt", folder / f"wider_face_{name}.mat"):
            if file.is_file():
                return file
    return None


def read_wider_face_images(file: Path) -> list[WiderFaceImage]:
    """Reads the faces of all images of a file, whose photos need not be there.

    An image without any face has no boxes: the text has a count of 0 for it, and then a line of
    zeros (which some copies lack). The ``.mat`` may have a single box of zeros, which stays.

    Args:
        file: ``wider_face_train_bbx_gt.txt``, or ``wider_face_train.mat``.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: it is of MATLAB 7.3, and h5py is not installed.
        ValueError: it is malformed; the message names file and line, or the image.
    """
    return _read_mat(file) if file.suffix == ".mat" else _read_text(file)


def _read_text(file: Path) -> list[WiderFaceImage]:
    return [
        _image(name.replace("\\", "/"), np.array([_row(row) for row in rows]).reshape(-1, 5))
        for name, rows in read_listing(file, "face")
    ]


def _row(row: Row) -> list[float]:
    """The box of a line, ``x y w h``, and whether it is invalid."""
    values = numbers(row.text)
    if len(values) < 4 or not np.isfinite(values).all():
        raise ValueError(f"{row.where}: expected x y w h and attributes, got {shortened(row.text)}")
    return [*values[:4], values[_INVALID] if len(values) > _INVALID else 0]


def _image(name: str, rows: NDArray[np.float64]) -> WiderFaceImage:
    boxes = rows[:, :4].copy()
    boxes[:, 2:] += boxes[:, :2]
    return WiderFaceImage(name, boxes, rows[:, 4] != 0)


def _read_mat(file: Path) -> list[WiderFaceImage]:
    variables = read_mat(file, *_VARIABLES)
    boxes, files = (_cells(file, variables, name) for name in ("face_bbx_list", "file_list"))
    marks = [[None] * len(images) for images in files]
    if "invalid_label_list" in variables:
        marks = _cells(file, variables, "invalid_label_list")
    try:
        events = variables["event_list"].ravel().tolist()
        rows = [
            (_joined(event, image[0]), *image[1:])
            for event, *cells in zip(events, files, boxes, marks, strict=True)
            for image in zip(*cells, strict=True)
        ]
    except (AttributeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{file}: expected cells of the same images in event_list, file_list and face_bbx_list "
            f"({error!r})"
        ) from error
    if len({name for name, *_ in rows}) != len(rows):
        raise ValueError(f"{file}: an image comes twice")
    return [_image(f"{name}.jpg", _mat_rows(file, name, *cells)) for name, *cells in rows]


def _joined(event: Any, image: Any) -> str:
    if not isinstance(event, str) or not isinstance(image, str):
        raise ValueError(f"expected names, got {shown((event, image))}")
    return f"{event}/{image}"


def _cells(file: Path, variables: Mapping[str, Any], name: str) -> list[list[Any]]:
    """The cells of a variable: of each event those of its images."""
    try:
        return [list(cells.ravel()) for cells in variables[name].ravel()]
    except (AttributeError, KeyError) as error:
        raise ValueError(
            f"{file}: expected cells of images in a variable {name}; is it WIDER FACE's "
            "wider_face_val.mat or the like?"
        ) from error


def _mat_rows(file: Path, name: str, boxes: Any, flags: Any) -> NDArray[np.float64]:
    """``x y w h invalid`` of each face."""
    try:
        rows = np.asarray(boxes, np.float64)
        marks = None if flags is None else np.asarray(flags, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: expected numbers for the boxes of {name} ({error})") from error
    if rows.size and (rows.ndim != 2 or rows.shape[1] != 4):
        raise ValueError(f"{file}: expected boxes [N, 4] of {name}, got {list(rows.shape)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{file}: expected finite numbers for the boxes of {name}")
    rows = rows.reshape(-1, 4)
    marks = np.zeros(len(rows)) if marks is None else marks
    if marks.shape != rows.shape[:1]:
        raise ValueError(f"{file}: {name} has {len(rows)} boxes, but {len(marks)} invalid labels")
    return np.concatenate([rows, marks[:, None]], axis=1)


def _holds(root: Path) -> bool:
    if root.is_file():
        return root.name.startswith("wider_face")
    return (root / "wider_face_split").is_dir() or bool(_files(root))


def _files(root: Path) -> dict[str, Path]:
    """The files of labels in a folder, by their split."""
    files = [*root.glob("wider_face_split/wider_face_*"), *root.glob("wider_face_*")]
    matches = ((_NAME.fullmatch(file.name), file) for file in files)
    return {match[1]: file for match, file in matches if match is not None}


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file = root if root.is_file() else wider_face_file(root, split)
    if file is None:
        if there := _files(root):
            raise no_split(root, split, there)
        raise FileNotFoundError(
            f"data: {root / 'wider_face_split'} has neither wider_face_{split}_bbx_gt.txt nor "
            f"wider_face_{split}.mat"
        )
    match = _NAME.fullmatch(file.name)
    if match is None:
        raise ValueError(f"{file}: expected a name such as wider_face_train_bbx_gt.txt")
    folders = [parent / f"WIDER_{match[1]}" / "images" for parent in file.absolute().parents[:2]]
    photos = next((folder for folder in folders if folder.is_dir()), None)
    if photos is None:
        raise FileNotFoundError(
            f"data: neither {folders[1]} nor {folders[0]} is a folder; the photos of {file} belong "
            "there"
        )
    images = read_wider_face_images(file)
    if file.suffix == ".mat":
        images = list(map(_without_placeholder, images))
    return Labels(
        [_photo(photos, image) for image in images],
        split if is_of_split(match[1], split) else None,
    )


def _photo(photos: Path, image: WiderFaceImage) -> AnnotatedImage:
    return annotated_image(photos / image.name, image.boxes, ignored=image.invalid.tolist())


def _without_placeholder(image: WiderFaceImage) -> WiderFaceImage:
    """The image without the single box of zeros that stands for no face."""
    return image if image.boxes.any() else _image(image.name, np.empty((0, 5)))


WIDER_FACE = Form(_holds, _read)
