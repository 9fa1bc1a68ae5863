import threading

import pytest

from s3fd.training import events, train

pytest.importorskip("tensorboard")


def written(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return accumulator


def test_curves_and_pictures_are_written(make_config, tmp_path):
    train(make_config(tmp_path, tensorboard=True, log_every=2, validate_every=6), progress=False)
    accumulator = written(tmp_path)
    scalars = {"class_loss", "box_loss", "learning_rate", "images_per_second", "average_precision"}
    assert scalars <= set(accumulator.Tags()["scalars"])
    assert [point.step for point in accumulator.Scalars("class_loss")] == [2, 3, 4, 6]
    pictures = accumulator.Tags()["images"]
    assert {"training/0", "training/3", "validation/0", "validation/3"} <= set(pictures)
    (picture,) = accumulator.Images("validation/0")
    assert (picture.step, picture.width, picture.height) == (6, 96, 96)


def test_a_resumed_run_has_each_point_once(make_config, tmp_path):
    settings = {"tensorboard": True, "log_every": 1}
    train(make_config(tmp_path, steps=3, **settings), progress=False)
    writer = events.Events(tmp_path / "tensorboard", 3)
    writer.scalars(5, {"class_loss": 1e9})  # of steps after the last checkpoint
    writer.close()
    train(make_config(tmp_path, **settings), resume=True, progress=False)
    points = written(tmp_path).Scalars("class_loss")
    assert sorted(point.step for point in points) == [1, 2, 3, 4, 5, 6]
    assert all(point.value < 1e6 for point in points)


def test_a_run_that_goes_astray_closes_its_curves(make_config, tmp_path, monkeypatch):
    def astray(loop, batch, waited):
        loop.events.scalars(1, {"class_loss": 1.0})
        raise FloatingPointError

    monkeypatch.setattr("s3fd.training.loop._Loop._advance", astray)
    before = threading.enumerate()
    with pytest.raises(FloatingPointError):
        train(make_config(tmp_path, tensorboard=True), progress=False)
    assert [point.step for point in written(tmp_path).Scalars("class_loss")] == [1]
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def test_a_missing_tensorboard_is_said_before_any_work(make_config, tmp_path, monkeypatch):
    monkeypatch.setattr(events, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"tensorboard: .*pip install 's3fd\[train\]'"):
        train(make_config(tmp_path / "run", tensorboard=True), progress=False)
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_unless_asked_for(make_config, tmp_path):
    train(make_config(tmp_path, steps=1), progress=False)
    assert not (tmp_path / "tensorboard").exists()
