"""This package's own labels, ``annotations.json``.

``{"images": [{"image": path below the folder, "width", "height", "split", "boxes": [[x1, y1, x2,
y2], ...], "ignore": [...]}, ...]}``. All entries have a split, or none has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s3fd.data.annotations import AnnotatedImage, annotated_image
from s3fd.data.formats.coco import looks_like_coco
from s3fd.data.formats.form import Form, Labels, chosen_split
from s3fd.data.formats.labelme import looks_like_labelme
from s3fd.data.formats.text import MALFORMED, malformed, read_json


def _file(root: Path) -> Path:
    return root if root.suffix == ".json" else root / "annotations.json"


def _holds(root: Path) -> bool:
    file = _file(root)
    return file.is_file() and not looks_like_coco(file) and not looks_like_labelme(file)


def _read(root: Path, split: str, classes: Sequence[str]) -> Labels:
    file = _file(root)
    entries = read_json(file, "images")["images"]
    chosen, has_splits = chosen_split(file, entries, split)
    photos = []
    for number in chosen:
        try:
            photos.append(_photo(file.parent, entries[number]))
        except MALFORMED as error:
            raise ValueError(
                f"{file}: images[{number}] is malformed: {malformed(error)}"
            ) from error
    return Labels(photos, split if has_splits else None)


def _photo(root: Path, entry: dict[str, Any]) -> AnnotatedImage:
    return annotated_image(
        root / str(entry["image"]),
        entry["boxes"],
        ignore=entry.get("ignore", []),
        size=(int(str(entry["width"])), int(str(entry["height"]))),
    )


ANNOTATIONS = Form(_holds, _read)
