"""Photos on which faces are easily found, and runs on them that take a second."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from s3fd.data import Augmentation
from s3fd.models import load_checkpoint
from s3fd.training import TrainingConfig


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Photos of grey noise on which every face is a bright square; 12 to train on, 4 held out."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    entries = []
    for i in range(16):
        pixels = rng.integers(0, 120, (96, 96, 3), np.uint8)
        boxes = []
        for column in range(1 + i % 2):
            x, y, side = (int(v) for v in (*rng.integers(0, 20, 2), rng.integers(20, 26)))
            x += 48 * column
            pixels[y : y + side, x : x + side] = (250, 220, 200)
            boxes.append([x, y, x + side, y + side])
        Image.fromarray(pixels).save(folder / f"{i}.png")
        split = "train" if i < 12 else "val"
        name = {"image": f"{i}.png", "width": 96, "height": 96, "split": split}
        entries.append(name | {"boxes": boxes})
    (folder / "annotations.json").write_text(json.dumps({"images": entries}))
    return folder


@pytest.fixture(scope="session")
def make_config(data):
    """A run of six steps with two checkpoints; arguments replace its settings."""

    def make(out, **changes):
        settings = {
            "data": data, "steps": 6, "batch_size": 4, "input_size": 64, "workers": 0,
            "warmup": 2, "checkpoint_every": 3, "precision": "float32", "device": "cpu",
            "augmentation": Augmentation(),
        }  # fmt: skip
        return TrainingConfig(out=out, **{**settings, **changes})

    return make


@pytest.fixture(scope="session")
def weights():
    """The tensors in a file of weights, by name, as plain lists of bytes: equal or not."""

    def read(file):
        state = load_checkpoint(file).state_dict()
        return {name: tensor.numpy().tobytes() for name, tensor in state.items()}

    return read


@pytest.fixture(scope="session")
def damaged_validation(data, tmp_path_factory):
    """The same data with four photos more to validate on, none of which can be used.

    ``root``; and ``reasons``, why not, by the names of their files.
    """
    root = tmp_path_factory.mktemp("damaged") / "data"
    shutil.copytree(data, root)
    content = json.loads((root / "annotations.json").read_text())
    sideways = Image.Exif()
    sideways[0x0112] = 6
    noise = np.random.default_rng(1).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(root / "turned.jpg", exif=sideways)
    Image.fromarray(noise).save(root / "cut.jpg")
    (root / "cut.jpg").write_bytes((root / "cut.jpg").read_bytes()[:900])
    (root / "text.png").write_text("no photo")
    reasons = {
        "turned.jpg": "its labels are for 96 x 64 pixels, but upright it has 64 x 96",
        "text.png": "not a picture", "missing.png": "no such file", "cut.jpg": "damaged",
    }  # fmt: skip
    content["images"] += [
        {"image": name, "width": 96, "height": 64, "split": "val", "boxes": [[8, 8, 40, 48]]}
        for name in reasons
    ]
    (root / "annotations.json").write_text(json.dumps(content))
    return SimpleNamespace(root=root, reasons=reasons)
