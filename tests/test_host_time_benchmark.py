"""The benchmark of the host's time: that it runs and what it writes; never how long calls take."""

import runpy
from pathlib import Path

import pytest

RUN = Path(__file__).parents[1] / "benchmarks" / "host_time.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


def test_every_operator_has_a_figure(capsys):
    assert runpy.run_path(str(RUN))["main"](["--turns", "1"]) == 0
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    operators = ("anchors", "match", "boxes", "decode_detections", "multibox_loss", "max_out",
                 "l2_normalize", "nms", "vote_boxes", "soft_nms")  # fmt: skip
    assert all(any(operator in name for name, _ in rows) for operator in operators)
    assert all(0 < float(figure) < 1e6 for _, figure in rows)


@pytest.mark.parametrize(
    ("benchmark", "option"),
    [
        ("host_time", "--turns"),
        ("accuracy", "--every"),
        ("loader", "--batch-size"),
        ("loader", "--input-size"),
        ("ray_overhead", "--photos"),
    ],
)
@pytest.mark.parametrize("number", ["0", "-3", "2.5", "many"])
def test_numbers_of_things_start_at_one(benchmark, option, number, capsys):
    main = runpy.run_path(str(RUN.with_name(f"{benchmark}.py")))["main"]
    with pytest.raises(SystemExit) as stopped:
        main([option, number])
    assert stopped.value.code == 2
    assert f"{option}: expected a number of at least 1, got {number}" in capsys.readouterr().err
