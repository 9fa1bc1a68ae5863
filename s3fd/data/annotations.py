"""Reading of `annotations.json`: photos with face boxes and ignore boxes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class AnnotatedImage:
    """One photo and what is known of it.

    Attributes:
        path: the image file.
        width: its width in pixels.
        height: its height in pixels.
        boxes: float32 ``[N, 4]``, the faces, ``(x1, y1, x2, y2)`` in pixels.
        ignore: float32 ``[M, 4]``, regions of which nothing is known: neither faces nor background.
    """

    path: Path
    width: int
    height: int
    boxes: FloatArray
    ignore: FloatArray


def read_annotations(root: str | Path, split: str) -> list[AnnotatedImage]:
    """Reads the photos of one split from ``root/annotations.json``.

    The file holds ``{"images": [{"image": path below root, "width", "height", "split",
    "boxes": [[x1, y1, x2, y2], ...], "ignore": [...]}, ...]}``. A face box without area becomes
    neither: it is dropped.

    Args:
        root: the folder.
        split: for example ``"train"`` or ``"val"``.

    Raises:
        FileNotFoundError: `root` has no ``annotations.json``.
        ValueError: the file isn't of that form (the message names the entry), or has no photo of
            the split.
    """
    file = Path(root) / "annotations.json"
    if not file.is_file():
        raise FileNotFoundError(f"data: {file} does not exist; name the folder that holds it")
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["images"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f'{file}: expected a JSON object with a list "images" ({error})'
        ) from error
    images = []
    for number, entry in enumerate(entries):
        try:
            if entry["split"] == split:
                images.append(_annotated_image(Path(root), entry))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file}: images[{number}] is malformed: {error!r}") from error
    if not images:
        splits = sorted({entry["split"] for entry in entries})
        raise ValueError(f"{file}: no image of split {split!r}; it has {splits}")
    return images


def _annotated_image(root: Path, entry: dict[str, object]) -> AnnotatedImage:
    boxes = _boxes(entry["boxes"])
    has_area = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return AnnotatedImage(
        path=root / str(entry["image"]),
        width=int(str(entry["width"])),
        height=int(str(entry["height"])),
        boxes=boxes[has_area],
        ignore=_boxes(entry.get("ignore", [])),
    )


def _boxes(rows: object) -> FloatArray:
    boxes = np.asarray(rows, dtype=np.float32)
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"boxes: expected rows of 4 numbers, got shape {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise ValueError("boxes: expected finite numbers")
    return boxes.reshape(-1, 4)
