from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

from s3fd.data import Augmentation
from s3fd.training import TrainingConfig


@pytest.mark.parametrize(
    "change",
    [
        {"model": "resnet"}, {"optimizer": "adam"}, {"precision": "half"}, {"schedule": "line"},
        {"steps": 0}, {"batch_size": 0}, {"accumulate": 0}, {"accumulate": 5}, {"seed": -1},
        {"learning_rate": 0.0}, {"average": 1.0}, {"momentum": -0.1}, {"workers": -1},
        {"positive_iou": 1.5}, {"candidate_iou": float("nan")}, {"top_n": -1}, {"clip": -1.0},
        {"imagenet": "vgg16.pth"}, {"milestones": (3,)}, {"log_every": 0},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_named(make_config, tmp_path, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        make_config(tmp_path, **change)


@pytest.mark.parametrize("milestones", [(), (4, 2), (2, 2), (0, 3)])
def test_milestones_have_to_rise(make_config, tmp_path, milestones):
    with pytest.raises(ValueError, match="milestones"):
        make_config(tmp_path, schedule="steps", milestones=milestones)


def test_every_path_may_be_text():
    hints = get_type_hints(TrainingConfig)
    names = [field.name for field in fields(TrainingConfig) if "Path" in str(hints[field.name])]
    paths = dict.fromkeys(names, "a/b") | {"distractors": ["a/b"], "imagenet": None}
    config = TrainingConfig(**paths, augmentation=Augmentation(crop="size", distractors=0.1))
    assert names == ["data", "out", "distractors", "cache", "imagenet", "weights", "validation"]
    expected = dict.fromkeys(names, Path("a/b")) | {
        "distractors": (Path("a/b"),), "imagenet": None,
    }  # fmt: skip
    assert {name: getattr(config, name) for name in names} == expected
    started = TrainingConfig(data="a", out="b", model="vgg16", imagenet="c.pth")
    assert started.imagenet == Path("c.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": None}, "data: expected a path, got None"),
        ({"out": 5}, "out: expected a path, got 5"),
        ({"cache": 5}, "cache: expected a path, got 5"),
        ({"distractors": "a.jsonl"}, "distractors: expected a list of files, got 'a.jsonl'"),
        ({"distractors": [5]}, "distractors: expected a path, got 5"),
    ],
)
def test_what_is_no_path_is_named(change, message):
    with pytest.raises(TypeError, match=message):
        TrainingConfig(**{"data": "a", "out": "b", **change})
