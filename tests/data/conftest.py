"""A small tree in the form of WIDER FACE with everything that such trees have been seen to have."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

NAMES = {
    "plain": "0--Parade/0_Parade_1.jpg",
    "spaces": "0--Parade/a photo of two.jpg",
    "grey": "0--Parade/grey.jpg",
    "cmyk": "1--Handshaking/cmyk.jpg",
    "palette": "1--Handshaking/palette.jpg",
    "rotated": "1--Handshaking/rotated.jpg",
    "zero": "2--Demonstration/nobody.jpg",
    "invalid": "2--Demonstration/invalid.jpg",
    "degenerate": "2--Demonstration/degenerate.jpg",
    "outside": "2--Demonstration/outside.jpg",
}
CORRUPT = {
    "missing": "3--Riot/missing.jpg",
    "truncated": "3--Riot/truncated.jpg",
    "empty": "3--Riot/empty.jpg",
}
# x y w h blur expression illumination invalid occlusion pose, by the photo.
LABELS = {
    "plain": ["30 20 40 50 0 0 0 0 0 0 "],
    "spaces": ["10 10 30 30 0 0 0 0 0 0", "60 40 24 30 1 0 0 0 2 1"],
    "grey": ["50 30 40 40 0 0 0 0 0 0"],
    "cmyk": ["50 30 40 40 0 0 0 0 0 0"],
    "palette": ["50 30 40 40 0 0 0 0 0 0"],
    "rotated": ["20 60 40 40 0 0 0 0 0 0"],
    "zero": [],
    "invalid": ["10 10 30 30 0 0 0 0 0 0", "70 40 20 20 2 0 1 1 2 0"],
    "degenerate": ["10 10 30 30 0 0 0 0 0 0", "70 40 0 20 0 0 0 0 0 0", "5 5 9 -3 0 0 0 0 0 0"],
    "outside": ["100 60 60 60 0 0 0 0 0 0", "300 300 20 20 0 0 0 0 0 0"],
    "missing": ["10 10 30 30 0 0 0 0 0 0"],
    "truncated": ["10 10 30 30 0 0 0 0 0 0"],
    "empty": ["10 10 30 30 0 0 0 0 0 0"],
}


def write_photos(folder, names):
    """Photos of noise, 160 wide and 120 high when upright."""
    rng = np.random.default_rng(0)
    for kind, name in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((160, 120))
        modes = {"grey": "L", "cmyk": "CMYK", "palette": "P"}
        if kind == "rotated":
            exif = Image.Exif()
            exif[0x0112] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
        elif kind == "palette":  # a PNG whose name says otherwise
            image.convert("P").save(path, "PNG")
        else:
            image.convert(modes.get(kind, "RGB")).save(path, quality=90)


def labels_text(names, *, newline="\n", zeros=True):
    lines = []
    for kind, name in names.items():
        rows = LABELS[kind] or (["0 0 0 0 0 0 0 0 0 0 "] if zeros else [])
        lines += [name, str(len(LABELS[kind])), *rows]
    return "".join(line + newline for line in lines)


@pytest.fixture(scope="session")
def wider(tmp_path_factory):
    """The tree.

    ``root``; by the kind of a photo its path and its ``rows`` of labels; and ``text``, which makes
    the labels of the photos that can be read in other ways.
    """
    root = tmp_path_factory.mktemp("WIDER FACE")
    folder = root / "WIDER_train" / "images"
    names = {**NAMES, **CORRUPT}
    write_photos(folder, {kind: name for kind, name in names.items() if kind != "missing"})
    truncated = folder / CORRUPT["truncated"]
    truncated.write_bytes(truncated.read_bytes()[:900])
    (folder / CORRUPT["empty"]).write_bytes(b"")
    labels = root / "wider_face_split" / "wider_face_train_bbx_gt.txt"
    labels.parent.mkdir()
    labels.write_bytes(labels_text(names, newline="\r\n").encode())
    paths = {kind: folder / name for kind, name in names.items()}
    return SimpleNamespace(
        root=root, paths=paths, rows=LABELS, corrupt=list(CORRUPT),
        text=lambda **changes: labels_text(NAMES, **changes),
    )  # fmt: skip
