import json
import math

import pytest

from s3fd.evaluation.plots import Curve
from s3fd.evaluation.tables import ResultTable

TABLE = ResultTable(
    ("easy", "hard"),
    (("worse", (0.9, 0.25)), ("undefined", (0.5, math.nan)), ("a|b", (None, 0.75))),
    caption="AP at IoU 0.5",
    own=frozenset(["worse"]),
)


def test_markdown_has_a_line_for_each_detector_and_the_caption():
    assert TABLE.markdown().splitlines() == [
        "| detector | easy | hard |",
        "| --- | ---: | ---: |",
        "| **worse** | **0.9000** | **0.2500** |",
        "| undefined | 0.5000 | - |",
        r"| a\|b | - | 0.7500 |",
        "",
        "AP at IoU 0.5",
    ]


def test_the_best_of_the_last_column_comes_first_and_the_undefined_last():
    assert [name for name, _ in TABLE.sorted().rows] == ["a|b", "worse", "undefined"]


def test_json_has_null_where_there_is_no_figure(tmp_path):
    TABLE.write(tmp_path / "table.json")
    read = json.loads((tmp_path / "table.json").read_text())
    assert read["columns"] == ["easy", "hard"]
    assert read["rows"][0] == {"detector": "worse", "own": True, "easy": 0.9, "hard": 0.25}
    assert read["rows"][1]["hard"] is None
    assert read["rows"][2]["easy"] is None


def test_a_table_is_written_as_its_suffix_says(tmp_path):
    TABLE.write(tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text() == TABLE.markdown()
    with pytest.raises(ValueError, match=r"ends in \.md or \.json"):
        TABLE.write(tmp_path / "table.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


def test_curves_of_a_plot_make_a_table():
    panels = {
        "Easy": [Curve("SFD", [0], [1], 0.9), Curve("mine", [0], [1], 0.8, own=True)],
        "Hard": [Curve("mine", [0], [1], 0.7, own=True), Curve("SSH", [0], [1], 0.85)],
    }
    table = ResultTable.from_curves(panels, "validation")
    assert table.columns == ("Easy", "Hard")
    assert table.rows == (("SSH", (None, 0.85)), ("mine", (0.8, 0.7)), ("SFD", (0.9, None)))
    assert table.own == {"mine"}


def test_another_detector_of_the_measured_ones_name_keeps_its_own_line():
    panels = {
        "Easy": [Curve("SFD", [0], [1], 0.6, own=True)],
        "Hard": [Curve("SFD", [0], [1], 0.7, own=True), Curve("SFD", [0], [1], 0.859)],
    }
    table = ResultTable.from_curves(panels)
    assert table.rows == (("SFD (other)", (None, 0.859)), ("SFD", (0.6, 0.7)))
    assert "| **SFD** | **0.6000** | **0.7000** |" in table.markdown().splitlines()
    assert [row["own"] for row in table.to_dict()["rows"]] == [False, True]


@pytest.mark.parametrize("own", [True, False])
def test_two_curves_of_one_name_in_one_panel_are_refused(own):
    curves = [Curve("SFD", [0], [1], value, own=own) for value in (0.7, 0.8)]
    with pytest.raises(ValueError, match=r"panels: 'Hard' has two curves .* called 'SFD'"):
        ResultTable.from_curves({"Hard": curves})


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="expected 2 figures of 'a', got 1"):
        ResultTable(("x", "y"), (("a", (1.0,)),))


def test_a_name_that_is_no_text_is_escaped(tmp_path):
    table = ResultTable(("easy",), (("caf\udce9", (0.5,)),))
    for name in ("table.md", "table.json"):
        table.write(tmp_path / name)
        assert r"caf\udce9" in (tmp_path / name).read_text(encoding="utf-8")
