"""A run that is stopped, wherever, and resumed ends with the weights of one that was not."""

import json
import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest
import torch

from s3fd.evaluation import PrecisionRecall
from s3fd.models import S3FD, ModelConfig, save_checkpoint
from s3fd.training import files, run, train
from s3fd.training.checkpoint import save_state
from s3fd.training.validation import Validation

# Two checkpoints, of which the second is saved before and after a validation, and is the best, too:
# 18 times something is brought to the disk.
SHORT = {"steps": 2, "checkpoint_every": 1, "validate_every": 2, "validation_photos": 1}
WRITES = 18
# The first steps have the same learning rate, whichever number of them is said to be the last.
LATE = {"schedule": "late", "decay": 0.25}


@pytest.fixture(scope="module")
def whole(make_config, tmp_path_factory):
    """The folder of a run that was never stopped."""
    config = make_config(tmp_path_factory.mktemp("whole"), **SHORT)
    train(config, progress=False)
    return config.out


def log_without_speed(folder):
    lines = [json.loads(line) for line in (folder / files.LOG).read_text().splitlines()]
    timings = ("images_per_second", "steps_per_second", "waiting_for_data")
    return [{k: v for k, v in line.items() if k not in timings} for line in lines]


def states_are_equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(states_are_equal(a[name], b[name]) for name in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(states_are_equal, a, b))
    return a == b


def assert_is_the_same_run(folder, whole, weights):
    for name in (files.WEIGHTS, files.BEST_WEIGHTS):
        assert weights(folder / name) == weights(whole / name)
    for name in (files.LAST, files.BEST):
        ours, theirs = (torch.load(f / name, weights_only=True) for f in (folder, whole))
        ours["config"].pop("out")
        theirs["config"].pop("out")
        assert states_are_equal(ours, theirs)
    assert log_without_speed(folder) == log_without_speed(whole)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}


class Killed(BaseException):
    """Stands for SIGKILL: no code of the run gets hold of it."""


@pytest.mark.parametrize("moment", range(1, WRITES + 1))
def test_a_run_can_end_at_any_write(make_config, tmp_path, monkeypatch, whole, weights, moment):
    calls = 0
    fsync = os.fsync

    def dies(descriptor):
        nonlocal calls
        calls += 1
        if calls == moment:
            raise Killed
        fsync(descriptor)

    config = make_config(tmp_path, **SHORT)
    monkeypatch.setattr(os, "fsync", dies)
    with pytest.raises(Killed):
        train(config, progress=False)
    monkeypatch.undo()
    train(config, auto_resume=True, progress=False)
    assert_is_the_same_run(tmp_path, whole, weights)


def test_those_were_all_writes(make_config, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", calls.append)
    train(make_config(tmp_path, **SHORT), progress=False)
    assert len(calls) == WRITES


class OutOfMemoryError(RuntimeError):
    """What may happen in a validation."""


@pytest.mark.parametrize("call", ["curve", "open_all"])
def test_a_validation_that_fails_loses_no_step_and_is_made_up_for(
    make_config, tmp_path, monkeypatch, whole, weights, call
):
    def fails(*arguments):
        raise OutOfMemoryError

    config = make_config(tmp_path, **SHORT)
    monkeypatch.setattr(Validation, "curve", fails)
    with pytest.raises(OutOfMemoryError):
        train(config, progress=False)
    assert torch.load(tmp_path / files.LAST, weights_only=True)["step"] == 2
    monkeypatch.setattr(Validation, call, fails)
    with pytest.raises(OutOfMemoryError):
        train(config, resume=True, progress=False)
    monkeypatch.undo()
    train(config, resume=True, progress=False)
    assert_is_the_same_run(tmp_path, whole, weights)


def test_a_run_whose_validation_failed_goes_on_without(make_config, tmp_path, monkeypatch, weights):
    def fails(*arguments):
        raise OutOfMemoryError

    undisturbed = weights(train(make_config(tmp_path / "whole", **LATE), progress=False))
    parts = tmp_path / "parts"
    monkeypatch.setattr(Validation, "curve", fails)
    with pytest.raises(OutOfMemoryError):
        train(make_config(parts, **LATE, validate_every=2), progress=False)
    assert torch.load(parts / files.LAST, weights_only=True)["step"] == 2  # no checkpoint was due
    assert weights(train(make_config(parts, **LATE), resume=True, progress=False)) == undisturbed
    assert not torch.load(parts / files.LAST, weights_only=True)["awaits_validation"]


def test_scores_are_calibrated_though_the_run_ended_before(make_config, tmp_path, monkeypatch):
    def curve(*arguments):
        if not failed:
            failed.append(True)
            raise OutOfMemoryError
        return PrecisionRecall.from_outcomes([0.9, 0.8, 0.1] * 8, [True, False, False] * 8, faces=8)

    failed = []
    monkeypatch.setattr(Validation, "curve", curve)
    config = make_config(tmp_path, **SHORT, calibrate=True)
    with pytest.raises(OutOfMemoryError):
        train(config, progress=False)
    before = (tmp_path / files.WEIGHTS).read_bytes()
    train(config, resume=True, progress=False)
    assert "shift" in log_without_speed(tmp_path)[-1]
    assert (tmp_path / files.WEIGHTS).read_bytes() != before
    train(config, resume=True, progress=False)  # of a finished run
    assert [name for line in log_without_speed(tmp_path) for name in line].count("shift") == 1


def steps_logged(folder):
    log = folder / files.LOG
    return len(log.read_text().splitlines()) if log.exists() else 0


def run_and_kill(context, config, delay):
    """Runs on until it logs again, and kills it after a moment; whether it had ended before."""
    process = context.Process(
        target=train, args=(config,), kwargs={"auto_resume": True, "progress": False}
    )
    process.start()
    before = steps_logged(config.out)
    while process.is_alive() and steps_logged(config.out) <= before:
        time.sleep(0.01)
    process.join(delay)
    process.kill()
    process.join()
    return process.exitcode == 0


def test_a_run_that_is_killed_at_random_ends_as_one_that_was_not(make_config, tmp_path, weights):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["s3fd.training"])
    settings = {"steps": 24, "checkpoint_every": 1, "log_every": 1}
    undisturbed = make_config(tmp_path / "undisturbed", **settings)
    assert run_and_kill(context, undisturbed, delay=None)

    disturbed = make_config(tmp_path / "disturbed", **settings)
    moments = random.Random()
    kills = 0
    while not run_and_kill(
        context, disturbed, delay=moments.uniform(0, 0.3) if kills < 5 else None
    ):
        kills += 1
        assert kills < 30
    assert kills >= 2
    assert weights(disturbed.out / files.WEIGHTS) == weights(undisturbed.out / files.WEIGHTS)
    assert log_without_speed(disturbed.out) == log_without_speed(undisturbed.out)


def test_the_scale_of_float16_is_resumed(make_config, tmp_path, weights, monkeypatch):
    config = make_config(tmp_path / "whole", precision="float16")
    expected = weights(train(config, progress=False))
    advance = run.Run.advance

    def dies_at_step_4(self, batch):
        if self.step == 4:
            raise Killed
        return advance(self, batch)

    monkeypatch.setattr(run.Run, "advance", dies_at_step_4)
    parts = make_config(tmp_path / "parts", precision="float16")
    with pytest.raises(Killed):
        train(parts, progress=False)
    monkeypatch.undo()
    state = torch.load(parts.out / files.LAST, weights_only=True)
    assert state["scaler"]["scale"] < 65536  # the first steps overflow
    assert weights(train(parts, resume=True, progress=False)) == expected


def test_random_numbers_go_on_where_they_were(make_config, tmp_path, monkeypatch):
    drawn = []
    advance = run.Run.advance

    def draws(self, batch):
        drawn.append((self.step, torch.rand(()).item()))
        return advance(self, batch)

    monkeypatch.setattr(run.Run, "advance", draws)
    train(make_config(tmp_path), progress=False)
    undisturbed = list(drawn)
    drawn.clear()
    train(make_config(tmp_path / "parts", steps=3), progress=False)
    train(make_config(tmp_path / "parts"), resume=True, progress=False)
    assert drawn == undisturbed


def test_a_finished_run_may_be_made_longer(make_config, tmp_path):
    staircase = {"schedule": "steps", "milestones": (100,)}
    train(make_config(tmp_path, steps=3, **staircase), progress=False)
    train(make_config(tmp_path, steps=5, **staircase), resume=True, progress=False)
    assert torch.load(tmp_path / files.LAST, weights_only=True)["step"] == 5


def test_a_run_is_not_made_shorter_than_it_is(make_config, tmp_path):
    train(make_config(tmp_path, steps=3, **LATE), progress=False)
    log = (tmp_path / files.LOG).read_bytes()
    with pytest.raises(
        ValueError, match=r"steps: expected at least the 3 that .*last\.pt has done"
    ):
        train(make_config(tmp_path, steps=2, **LATE), resume=True, progress=False)
    assert (tmp_path / files.LOG).read_bytes() == log
    train(make_config(tmp_path, steps=3, **LATE), resume=True, progress=False)


@pytest.fixture
def variant(tmp_path):
    """Weights of a network that has the shapes of another one."""
    torch.manual_seed(5)
    save_checkpoint(S3FD("light", channel_order="BGR", scale=0.5).eval(), tmp_path / "bgr")
    return tmp_path / "bgr"


@pytest.mark.parametrize("change", ["left out", "replaced"])
def test_a_run_does_not_go_on_with_another_network_of_the_same_shapes(
    make_config, tmp_path, variant, weights, change
):
    settings = {"weights": variant, **LATE}
    whole = weights(train(make_config(tmp_path / "whole", **settings), progress=False))
    out = tmp_path / "parts"
    train(make_config(out, **{**settings, "steps": 3}), progress=False)
    save_checkpoint(S3FD("light"), variant)
    other = settings if change == "replaced" else LATE
    message = r"another network: channel_order \('BGR' there\), scale \(0\.5 there\); set weights"
    with pytest.raises(ValueError, match=message):
        train(make_config(out, **other), resume=True, progress=False)
    remedy = {**settings, "weights": out / files.WEIGHTS}
    assert weights(train(make_config(out, **remedy), resume=True, progress=False)) == whole


def test_a_checkpoint_of_an_older_version_goes_on(make_config, tmp_path, weights):
    whole = weights(train(make_config(tmp_path / "whole", **LATE), progress=False))
    out = tmp_path / "parts"
    train(make_config(out, **{**LATE, "steps": 3}), progress=False)
    state = torch.load(out / files.LAST, weights_only=True)
    del state["network"], state["awaits_validation"]
    state["schedule"] = {"learning_rate": 1e-3}
    state["sampler"] |= {"step": 3, "seed": 1}
    torch.save(state, out / files.LAST)
    assert weights(train(make_config(out, **LATE), resume=True, progress=False)) == whole


def test_a_setting_that_is_younger_than_a_run_is_what_it_is_by_default(make_config, tmp_path):
    train(make_config(tmp_path, steps=3), progress=False)
    state = torch.load(tmp_path / files.LAST, weights_only=True)
    del state["config"]["augmentation"]["fonts"]
    del state["config"]["box_margins"]
    torch.save(state, tmp_path / files.LAST)
    with pytest.raises(ValueError, match=r"other settings: box_margins \("):
        train(make_config(tmp_path, box_margins=(0.1, 0.1, 0.1)), resume=True, progress=False)
    train(make_config(tmp_path), resume=True, progress=False)


@pytest.mark.parametrize("what", ["cut", "a bit", "config", "model", "optimizer", "step"])
def test_a_damaged_checkpoint_is_one_line_that_names_it(make_config, tmp_path, what):
    config = make_config(tmp_path, steps=1)
    train(config, progress=False)
    path = tmp_path / files.LAST
    data = bytearray(path.read_bytes())
    if what == "cut":
        data = data[:-1000]
    elif what == "a bit":
        data[len(data) // 2] ^= 1
    else:
        state = torch.load(path, weights_only=True)
        state[what] = "text"
        torch.save(state, path)
        data = path.read_bytes()
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"last\.pt: ") as raised:
        train(config, resume=True, progress=False)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")  # noqa: PTH110
@pytest.mark.parametrize("numbers", [1, 1_000_000])
def test_a_checkpoint_on_a_full_disk_is_an_error_that_says_so(make_config, tmp_path, numbers):
    state = {"model": torch.zeros(numbers)}
    with pytest.raises(OSError, match=r"Errno 28.*/dev/full"):
        save_state(Path("/dev/full"), make_config(tmp_path), ModelConfig(), state)
