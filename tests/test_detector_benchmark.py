"""The detector's benchmark: that it runs and what it writes; never how long anything takes."""

import json
import runpy
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks" / "detector.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def test_a_photo_is_timed_in_all_ways(tmp_path):
    benchmark, figures = runpy.run_path(str(RUN)), tmp_path / "figures.json"
    (photo,) = benchmark["made_up_photos"](tmp_path, [(96, 64)])
    options = ["--photo", str(photo), "--seconds", "0", "--processor-time", "--json", str(figures)]
    assert benchmark["main"](options) == 0
    record = json.loads(figures.read_text())
    assert record["clock"] == "processor time"
    (row,) = record["milliseconds"].values()
    assert {"Pillow, float32", "float32", "reading and shrinking alone"} <= set(row)
    assert min(row.values()) > 0


@pytest.mark.parametrize("option", ["--yunet", "--onnx"])
def test_files_that_are_not_there_are_named(tmp_path, capsys, option):
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(RUN))["main"]([option, str(tmp_path / "gone.onnx")])
    assert stopped.value.code == 2
    assert f"{option}: there is no file" in capsys.readouterr().err
