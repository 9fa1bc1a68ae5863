import json

import numpy as np
import pytest
import torch
from PIL import Image

from s3fd.models import load_checkpoint
from s3fd.training import TrainingConfig, train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photos of grey noise on which every face is a bright square."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    entries = []
    for i in range(12):
        pixels = rng.integers(0, 120, (96, 96, 3), np.uint8)
        x, y, side = (int(v) for v in (*rng.integers(0, 50, 2), rng.integers(24, 46)))
        pixels[y : y + side, x : x + side] = (250, 220, 200)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        entries.append(
            {"image": f"{i}.png", "width": 96, "height": 96, "split": "train",
             "boxes": [[x, y, x + side, y + side]]}
        )  # fmt: skip
    (folder / "annotations.json").write_text(json.dumps({"images": entries}))
    return folder


def config(data, out, **changes):
    settings = {
        "steps": 6, "batch_size": 4, "input_size": 64, "workers": 0, "warmup": 2,
        "checkpoint_every": 3, "precision": "float32", "device": "cpu", **changes,
    }  # fmt: skip
    return TrainingConfig(data=data, out=out, **settings)


def weights(file):
    return load_checkpoint(file).state_dict()


def same(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_run_leaves_weights_that_load_and_a_checkpoint(data, tmp_path):
    file = train(config(data, tmp_path / "run"), progress=False)
    model = load_checkpoint(file)
    assert model.config.backbone == "light"
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"model.safetensors", "checkpoint.pt"} <= names
    assert not any(name.endswith(".tmp") for name in names)


def test_the_loss_falls(data, tmp_path):
    run = config(data, tmp_path / "run", steps=80, batch_size=8, warmup=10, checkpoint_every=80)
    train(run, progress=False)
    log = [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [20, 40, 60, 80]
    assert log[-1]["class_loss"] < 0.7 * log[0]["class_loss"]
    assert log[-1]["box_loss"] < log[0]["box_loss"]


def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(data, tmp_path, monkeypatch):
    whole = weights(train(config(data, tmp_path / "whole"), progress=False))

    from s3fd.training import loop

    original = loop._Run.advance

    def dies_at_step_4(self, batch):
        if self.step == 4:
            raise KeyboardInterrupt
        return original(self, batch)

    monkeypatch.setattr(loop._Run, "advance", dies_at_step_4)
    with pytest.raises(KeyboardInterrupt):
        train(config(data, tmp_path / "parts"), progress=False)
    monkeypatch.undo()
    resumed = weights(train(config(data, tmp_path / "parts"), resume=True, progress=False))
    assert same(whole, resumed)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(data, tmp_path):
    first = weights(train(config(data, tmp_path / "a", steps=2), progress=False))
    second = weights(train(config(data, tmp_path / "b", steps=2, workers=2), progress=False))
    third = weights(train(config(data, tmp_path / "c", steps=2, seed=2), progress=False))
    assert same(first, second)
    assert not same(first, third)


def test_a_folder_that_holds_a_run_is_not_overwritten(data, tmp_path):
    train(config(data, tmp_path, steps=1), progress=False)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(FileExistsError, match="continue it with --resume"):
        train(config(data, tmp_path, steps=1), progress=False)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_nothing_to_resume_is_said(data, tmp_path):
    with pytest.raises(FileNotFoundError, match="start without --resume"):
        train(config(data, tmp_path / "none"), resume=True, progress=False)
    assert not (tmp_path / "none").exists()


def test_a_run_is_not_resumed_with_other_settings(data, tmp_path):
    train(config(data, tmp_path, steps=1), progress=False)
    with pytest.raises(ValueError, match=r"other settings: batch_size \(4 there\)"):
        train(config(data, tmp_path, batch_size=5), resume=True, progress=False)


def test_a_truncated_checkpoint_is_named(data, tmp_path):
    train(config(data, tmp_path, steps=1), progress=False)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoint\.pt: cannot be read"):
        train(config(data, tmp_path), resume=True, progress=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_cannot_be_read_is_named_in_one_line(data, tmp_path, workers):
    broken = tmp_path / "data"
    broken.mkdir()
    (broken / "annotations.json").write_text((data / "annotations.json").read_text())
    for i in range(12):
        (broken / f"{i}.png").write_text("no photo")
    with pytest.raises(ValueError, match=r"\.png: not a picture") as caught:
        train(config(broken, tmp_path / "run", workers=workers), progress=False)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "resnet"}, {"optimizer": "adam"}, {"precision": "float16"}, {"steps": 0},
        {"batch_size": 0}, {"learning_rate": 0.0}, {"average": 1.0}, {"workers": -1},
        {"imagenet": "vgg16.pth"},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(data, tmp_path, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        config(data, tmp_path, **change)
