"""Labels in the JSON form of LabelMe: a file for each photo, beside it.

``{"imagePath", "imageWidth", "imageHeight", "shapes": [{"label", "points": [[x, y], ...],
"shape_type"}, ...]}``. A shape of any kind counts as the box around it; a circle has its centre and
a point on it. Folders ``train`` and ``val`` are splits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.form import (
    Form,
    Labels,
    any_looks_right,
    face_classes,
    folders_of_splits,
    labels_of_split,
    photo_beside,
    visible,
)
from s3fd.data.formats.text import MALFORMED, beginning_of, malformed, pairs, read_json

_FILES = "**/*.json"


def looks_like_labelme(file: Path) -> bool:
    """Whether a JSON file begins with LabelMe's keys."""
    return re.search(r'"shapes"\s*:', beginning_of(file)) is not None


def _may_be_labelme(file: Path) -> bool:
    """Whether it begins with any of them: shapes may come after all the bytes of a photo."""
    return (
        re.search(r'"(shapes|image(Path|Data|Width|Height))"\s*:', beginning_of(file)) is not None
    )


def _holds(root: Path) -> bool:
    if root.is_file():
        return root.suffix == ".json" and looks_like_labelme(root)
    files = (file for folder in folders_of_splits(root) for file in visible(folder, _FILES))
    return any_looks_right(files, looks_like_labelme)


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    files, has_splits = labels_of_split(root, split, _FILES, _may_be_labelme)
    contents = [read_json(file, "shapes") for file in files]
    there = {
        str(shape.get("label"))
        for content in contents
        for shape in content["shapes"]
        if isinstance(shape, dict)
    }
    faces = face_classes(root, there, classes, complete=False)
    photos = []
    for file, content in zip(files, contents, strict=True):
        try:
            photos.append(_photo(file, content, faces))
        except MALFORMED as error:
            message = f"{file}: not labels in the form of LabelMe ({malformed(error)})"
            raise ValueError(message) from error
    return Labels(photos, split if has_splits else None)


def _photo(file: Path, content: dict[str, Any], faces: set[str]) -> AnnotatedImage:
    path = photo_beside(file.parent, content["imagePath"], file)
    rows = [_box(shape) for shape in content["shapes"] if str(shape["label"]) in faces]
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return annotated_image(path, rows, size=(int(width), int(height)) if width and height else None)


def _box(shape: dict[str, Any]) -> list[float]:
    points = pairs(shape["points"])
    if shape.get("shape_type") == "circle":
        centre, edge = points
        points = np.stack([centre, centre]) + math.dist(centre, edge) * np.array([[-1], [1]])
    return [*points.min(axis=0), *points.max(axis=0)]


LABELME = Form(_holds, _read, has_classes=True)
