"""A photo with its faces, and the reading of `annotations.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One photo and what is known of it.

    Attributes:
        path: the image file.
        width: its width in pixels, upright; None if the labels do not say.
        height: its height in pixels, upright; None if the labels do not say.
        boxes: float32 ``[N, 4]``, the faces, ``(x1, y1, x2, y2)`` in pixels.
        ignore: float32 ``[M, 4]``, regions of which nothing is known: neither faces nor background.
    """

    path: Path
    width: int | None
    height: int | None
    boxes: FloatArray
    ignore: FloatArray


def annotated_image(
    path: Path, rows: object, *, ignored: Sequence[bool] | None = None, ignore: object = (),
    size: tuple[int, int] | None = None,
) -> AnnotatedImage:  # fmt: skip
    """A photo from the rows of its labels; boxes that cannot be learned from become ignore boxes.

    Args:
        path: the image file.
        rows: ``[N, 4]`` numbers, ``(x1, y1, x2, y2)``.
        ignored: for each row, whether its labels say that it is not to be used. Rows without area
            are never used.
        ignore: ``[M, 4]`` more ignore boxes.
        size: width and height, where they are known.

    Raises:
        ValueError: the rows are not of four finite numbers each, or the size is not positive.
    """
    boxes = _boxes(rows)
    unusable = np.zeros(len(boxes), bool) if ignored is None else np.asarray(ignored, bool)
    unusable = unusable | ~has_area(boxes)
    width, height = size or (None, None)
    if width is not None and height is not None and min(width, height) < 1:
        raise ValueError(f"expected a width and a height above 0, got {width} x {height}")
    unused = np.concatenate([boxes[unusable], _boxes(ignore)])
    return AnnotatedImage(path, width, height, boxes[~unusable], unused)


def has_area(boxes: FloatArray) -> NDArray[np.bool_]:
    """Which of ``[N, 4]`` boxes have a width and a height above zero."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _boxes(rows: object) -> FloatArray:
    try:
        boxes = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError("boxes: expected rows of 4 numbers") from None
    if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
        raise ValueError(f"boxes: expected rows of 4 numbers, got shape {boxes.shape}")
    if not np.isfinite(boxes).all():
        raise ValueError("boxes: expected finite numbers")
    return boxes.reshape(-1, 4)


def read_annotations(root: str | Path, split: str) -> list[AnnotatedImage]:
    """Reads the photos of one split from ``root/annotations.json``.

    The file holds ``{"images": [{"image": path below root, "width", "height", "split",
    "boxes": [[x1, y1, x2, y2], ...], "ignore": [...]}, ...]}``. A face box without area becomes an
    ignore box.

    Args:
        root: the folder, or the file itself.
        split: for example ``"train"`` or ``"val"``.

    Raises:
        FileNotFoundError: `root` has no ``annotations.json``.
        ValueError: the file isn't of that form (the message names the entry), or has no photo of
            the split.
    """
    file = Path(root) if Path(root).is_file() else Path(root) / "annotations.json"
    entries = read_json(file, "images")["images"]
    images = []
    for number, entry in enumerate(entries):
        try:
            if entry["split"] == split:
                images.append(_annotated_image(file.parent, entry))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{file}: images[{number}] is malformed: {error!r}") from error
    if not images:
        splits = sorted({str(entry["split"]) for entry in entries})
        raise ValueError(f"{file}: no image of split {split!r}; it has {splits}")
    return images


def read_json(file: Path, *lists: str) -> dict[str, Any]:
    """Reads a JSON object and checks that it has these lists.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or lacks one of the lists.
    """
    if not file.is_file():
        raise FileNotFoundError(f"data: {file} does not exist; name the folder that holds it")
    expected = f"{file}: expected a JSON object with " + " and ".join(
        f'a list "{name}"' for name in lists
    )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{expected} ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{expected}, got a {type(content).__name__}")
    for name in lists:
        if not isinstance(content.get(name), list):
            raise ValueError(f"{expected}; {name!r} is not one")
    return content


def _annotated_image(root: Path, entry: dict[str, object]) -> AnnotatedImage:
    return annotated_image(
        root / str(entry["image"]),
        entry["boxes"],
        ignore=entry.get("ignore", []),
        size=(int(str(entry["width"])), int(str(entry["height"]))),
    )
