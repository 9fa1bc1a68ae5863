import pytest

from s3fd.training import train
from s3fd.training.workers import within_processors


@pytest.fixture
def two_processors(monkeypatch):
    """A process that may run on two, whatever the machine has."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5}, raising=False)


@pytest.mark.parametrize(
    ("wanted", "processes", "used"),
    [(8, 1, 2), (2, 1, 2), (0, 1, 0), (2, 2, 1), (2, 8, 1), (0, 8, 0)],
)
def test_there_are_no_more_workers_than_processors_to_run_on(
    two_processors, make_config, monkeypatch, tmp_path, wanted, processes, used
):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    config, said = within_processors(make_config(tmp_path, workers=wanted))
    assert config.workers == used
    assert (said is None) == (wanted == used)


def test_a_run_has_no_more_workers_than_processors_and_says_so(
    two_processors, make_config, monkeypatch, tmp_path, capfd
):
    seen = []
    monkeypatch.setattr(
        "s3fd.training.loop.load_batches",
        lambda batches, *, workers, **_: iter(seen.append(workers) or ()),
    )
    train(make_config(tmp_path / "run", workers=8))
    assert seen == [2]
    assert "workers: 8 are wanted, 2 used" in capfd.readouterr().err
