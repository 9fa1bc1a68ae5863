import pytest


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
