from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from s3fd.data import Augmentation
from s3fd.training import TrainingConfig, config_names, make_config, read_config
from s3fd.training.config_file import merge, parse_settings

PLACES = {"data": Path("photos"), "out": Path("run")}


def write(folder, text, name="mine.toml"):
    (folder / name).write_text(text)
    return folder / name


def settings(name):
    return make_config({**read_config(name), **PLACES})


@pytest.mark.parametrize("name", config_names())
def test_the_configs_of_the_package_can_be_read(name):
    assert isinstance(settings(name), TrainingConfig)


def test_the_paper_is_trained_as_it_says():
    paper = settings("paper")
    assert (paper.model, paper.optimizer, paper.momentum) == ("vgg16", "sgd", 0.9)
    assert (paper.learning_rate, paper.weight_decay) == (1e-3, 5e-4)
    assert (paper.steps, paper.schedule, paper.milestones) == (120000, "steps", (80000, 100000))
    assert (paper.batch_size, paper.input_size) == (32, 640)
    assert (paper.box_weight, paper.negative_ratio) == (4.0, 3.0)
    assert (paper.positive_iou, paper.candidate_iou, paper.top_n) == (0.35, 0.1, None)
    assert (paper.max_out_background, paper.augmentation) == (True, Augmentation())
    assert (paper.average, paper.clip, paper.warmup) == (0.0, 0.0, 0)


def test_the_ablation_differs_from_the_paper_in_what_it_takes_away():
    paper = read_config("paper")

    def differences(name):
        config = read_config(name)
        return {key: value for key, value in config.items() if paper.get(key) != value}

    no_compensation = {"positive_iou": 0.5, "top_n": 0}
    assert differences("ablation-f") == {**no_compensation, "max_out_background": False}
    assert differences("ablation-f-s") == {"max_out_background": False}
    assert differences("ablation-f-s-m") == {}


def test_light_is_what_is_done_without_a_config():
    defaults = {
        field.name: field.default if field.default is not MISSING else field.default_factory()
        for field in fields(TrainingConfig)
        # A run without a config need not have photos to validate with.
        if field.name not in (*PLACES, "validate_every", "calibrate")
    }
    light = settings("light")
    assert {name: getattr(light, name) for name in defaults} == defaults


def test_an_unknown_key_is_named_with_its_file_and_what_was_meant(tmp_path):
    file = write(tmp_path, "learning_rat = 1.0")
    with pytest.raises(
        ValueError, match=r"mine\.toml: unknown key 'learning_rat'; .*learning_rate"
    ):
        read_config(file)
    file = write(tmp_path, "[augmentation]\nflop = 0.5")
    with pytest.raises(ValueError, match=r"'augmentation\.flop'; did you mean 'flip'"):
        read_config(file)
    file = write(tmp_path, "xyzzy = 0.5")
    with pytest.raises(ValueError, match="unknown key 'xyzzy'; the keys are data, out"):
        read_config(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('steps = "many"', r"mine\.toml: steps: expected a whole number, got 'many'"),
        ("steps = 1.5", "steps: expected a whole number, got 1.5"),
        ("steps = true", "steps: expected a whole number, got True"),
        ("learning_rate = '1'", "learning_rate: expected a number"),
        (f"learning_rate = 1{'0' * 400}", "learning_rate: expected a number of at most 300 digits"),
        ("compile = 1", "compile: expected true or false"),
        ("milestones = 3", "milestones: expected a list"),
        ("milestones = ['a']", "milestones: expected a whole number"),
        ("data = 3", "data: expected a path"),
        ("augmentation = 3", "augmentation: expected a table"),
        ("[augmentation]\nflip = 'no'", r"augmentation\.flip: expected a number"),
        ("steps =", "not a TOML file"),
        ("extends = 'nothing'", r"mine\.toml: extends: .*'nothing'"),
        ("extends = 'mine'", "extends itself"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_config(write(tmp_path, text))


def test_a_config_extends_another_of_the_package_or_beside_it(tmp_path):
    write(tmp_path, "extends = 'paper'\nsteps = 7\n[augmentation]\nflip = 0", "base.toml")
    values = read_config(write(tmp_path, "extends = 'base'\nseed = 3\n[augmentation]\nplain = 0.1"))
    assert (values["seed"], values["steps"], values["batch_size"]) == (3, 7, 32)
    assert values["augmentation"] == {"flip": 0.0, "plain": 0.1}


def test_a_config_with_a_byte_order_mark_is_read(tmp_path):
    assert read_config(write(tmp_path, "\ufeffsteps = 7\n"))["steps"] == 7


def test_a_config_that_is_not_there_lists_those_that_are(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"'light', 'overfit', 'paper'.*got 'papr'"):
        read_config("papr")


def test_settings_of_the_command_line_are_values_or_text():
    values = parse_settings(["data=a/b", "compile=true", "milestones=[1, 2]", "momentum=0"])
    assert values == {"data": Path("a/b"), "compile": True, "milestones": (1, 2), "momentum": 0.0}
    with pytest.raises(ValueError, match="unknown key 'clop'; did you mean 'clip'"):
        parse_settings(["clop=1"])
    with pytest.raises(ValueError, match="expected KEY=VALUE, got 'clip'"):
        parse_settings(["clip"])


def test_later_settings_replace_earlier_ones_table_by_table():
    first = {"steps": 1, "augmentation": {"flip": 0.0, "plain": 0.5}}
    merged = merge(first, {"augmentation": {"flip": 1.0}})
    assert merged == {"steps": 1, "augmentation": {"flip": 1.0, "plain": 0.5}}
    assert first["augmentation"]["flip"] == 0.0


def test_mistakes_on_the_command_line_have_one_message(run, tmp_path):
    for arguments, message in [
        (["--config", "papr"], "--config"),
        (["--config", write(tmp_path, "stepz = 1")], "did you mean 'steps'"),
        (["--set", "stepz=1"], "Invalid value for --set: unknown key 'stepz'"),
        ([], "data and out: there is none; pass --data DIR and --out DIR"),
        (["--data", tmp_path], "out: there is none; pass --out"),
    ]:
        result = run("train", *arguments)
        assert result.exit_code in (1, 2)
        assert message in result.output


def test_options_override_settings_and_these_the_config(run, data, tmp_path):
    file = write(tmp_path, "steps = 9\nseed = 9\nwarmup = 9\nbatch_size = 2\ninput_size = 64")
    result = run("train",
        "--config", file, "--data", data, "--out", tmp_path / "run", "--set", "seed=5",
        "--set", "steps=5", "--steps", 1, "--workers", 0, "--device", "cpu",
        "--precision", "float32", "--set", "log_every=1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    from s3fd.models.weights_file import read_weights

    metadata = read_weights(tmp_path / "run" / "model.safetensors").metadata
    assert (metadata["steps"], metadata["seed"]) == ("1", "5")
