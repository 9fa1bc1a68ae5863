"""The loader's benchmark: that it runs and what it writes; never how long anything takes."""

import json
import runpy
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks" / "loader.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def test_a_cache_of_made_up_photos_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(RUN))["main"](["--cache", str(tmp_path / "cache")])
    assert stopped.value.code == 2
    assert "--cache: made-up photos are gone" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_the_loader_is_timed_beside_the_step_it_feeds(tmp_path):
    benchmark, figures = runpy.run_path(str(RUN)), tmp_path / "figures.json"
    data = benchmark["made_up_photos"](tmp_path, count=2)
    options = ["--seconds", "0.01", "--batch-size", "2", "--input-size", "64", "--workers", "0"]
    assert benchmark["main"]([*options, "--data", str(data), "--json", str(figures)]) == 0
    record = json.loads(figures.read_text())
    speeds = record["images_per_second"]
    assert set(speeds) == {
        "loader, 0 workers", "loader, per core", "plans alone, per core",
        "pixels of plans, on cpu", "step, light on cpu",
    }  # fmt: skip
    assert min(speeds.values()) > 0
    assert min(record["milliseconds_for_256_x_256"], record["milliseconds_of_plans"]) > 0
