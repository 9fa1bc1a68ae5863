"""Labelled photos of the package's own picture, for what measures on some."""

import json
from pathlib import Path

from PIL import Image

from s3fd.models import pretrained_path

ASTRONAUT = pretrained_path("light").parent.parent / "assets" / "astronaut.jpg"
FACE = [180.0, 65, 266, 184]


def write_two_sets(folder: Path) -> Path:
    """One photo of a set "space" with its face, and one of a set "empty" without any."""
    Image.open(ASTRONAUT).save(folder / "space-1.png")
    Image.new("RGB", (200, 100)).save(folder / "empty-1.png")
    entries = [
        {"image": "space-1.png", "width": 512, "height": 512, "boxes": [FACE], "split": "val"},
        {"image": "empty-1.png", "width": 200, "height": 100, "boxes": [], "split": "val"},
    ]
    (folder / "annotations.json").write_text(json.dumps({"images": entries}))
    return folder
