"""Labels in the JSON form of COCO (Lin et al., 2014)."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from s3fd.data.annotations import AnnotatedImage, annotated_image, read_json


def coco_labels(root: Path, split: str) -> Path | None:
    """The file of the labels of a split in the layouts that people use, or None."""
    patterns = (f"annotations/*{split}*.json", f"{split}/_annotations.coco.json", f"*{split}*.json")
    return next((file for pattern in patterns for file in sorted(root.glob(pattern))), None)


def read_coco(labels: Path, split: str) -> list[AnnotatedImage]:
    """Reads all photos of a file; where entries have a ``"split"``, those of this split.

    ``{"images": [{"id", "file_name", "width", "height"}, ...], "annotations": [{"image_id",
    "bbox": [x, y, width, height], "category_id"}, ...], "categories": [{"id", "name"}, ...]}``.
    The faces are the annotations of the only category, or of the one called "face". Crowds
    (``"iscrowd"``), boxes with ``"ignore"``, and boxes without area become ignore boxes.

    The photos are looked for in a folder of the split's name, beside the file and above it.

    Raises:
        FileNotFoundError: there is no such file, or no photo of it anywhere.
        ValueError: the file isn't of that form (the message names the entry), or has no photo.
    """
    content = read_json(labels, "images", "annotations")
    category = _face_category(labels, content.get("categories"))
    by_image: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for number, annotation in enumerate(content["annotations"]):
        try:
            if category is None or annotation["category_id"] == category:
                by_image[annotation["image_id"]].append(annotation)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{labels}: annotations[{number}] is malformed: {error!r}") from error
    entries = [
        e for e in content["images"] if not isinstance(e, dict) or e.get("split", split) == split
    ]
    if not entries:
        raise ValueError(f"{labels}: it has no photo of split {split!r}")
    folder = _photo_folder(labels, split, entries)
    images = []
    for number, entry in enumerate(entries):
        try:
            images.append(_image(folder, entry, by_image.pop(entry["id"], [])))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{labels}: images[{number}] is malformed: {error!r}") from error
    return images


def _face_category(labels: Path, categories: Any) -> Any:
    """The identity of the category of faces; None if all annotations are faces."""
    if not categories:
        return None
    try:
        names = {str(category["name"]).lower(): category["id"] for category in categories}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{labels}: categories is malformed: {error!r}") from error
    for name in ("face", "faces"):
        if name in names:
            return names[name]
    if len(names) > 1:
        raise ValueError(
            f"{labels}: expected one category, or one called 'face'; it has {', '.join(names)}"
        )
    return next(iter(names.values()))


def _photo_folder(labels: Path, split: str, entries: list[dict[str, Any]]) -> Path:
    try:
        names = [str(entry["file_name"]) for entry in entries[:100]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{labels}: images[0] is malformed: {error!r}") from error
    stem = labels.stem.rsplit("_", 1)[-1]  # train2017 of instances_train2017
    parents = labels.absolute().parents[:2]
    below = (split, stem, f"images/{split}", f"images/{stem}", "images", ".")
    for folder in (parent / name for parent in parents for name in below):
        if any((folder / name).is_file() for name in names):
            return folder
    raise FileNotFoundError(
        f"data: there is no {names[0]} of {labels} in {parents[0]} or {parents[-1]}, nor in "
        f"{split} or images/{split} there"
    )


def _image(
    folder: Path, entry: dict[str, Any], annotations: list[dict[str, Any]]
) -> AnnotatedImage:
    rows = [[x, y, x + width, y + height] for x, y, width, height in
            (annotation["bbox"] for annotation in annotations)]  # fmt: skip
    ignored = [bool(a.get("iscrowd", 0) or a.get("ignore", 0)) for a in annotations]
    size = (int(entry["width"]), int(entry["height"])) if "width" in entry else None
    return annotated_image(folder / str(entry["file_name"]), rows, ignored=ignored, size=size)
