import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from s3fd.evaluation import plots
from s3fd.evaluation.average_precision import PrecisionRecall
from s3fd.evaluation.plots import Curve, check_plot_files, plot_precision_recall, plot_roc
from s3fd.evaluation.wider_face.published import PublishedCurve

CURVES = [
    Curve("worse", [0.2, 0.5, 0.6], [0.9, 0.8, 0.3], 0.45),
    Curve("mine", [0.1, 0.5, 0.9], [1.0, 0.9, 0.5], 0.75, own=True),
    Curve("no figure", [0.1], [1.0]),
]


@pytest.fixture
def drawn(monkeypatch):
    """The panels of all figures that are saved."""
    from matplotlib.figure import Figure

    panels = []
    save = Figure.savefig

    def remember(figure, *arguments, **options):
        panels.extend(figure.axes)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", remember)
    return panels


def legend(panel):
    return [text.get_text() for text in panel.get_legend().get_texts()]


def test_the_suffix_says_the_form(tmp_path):
    files = [tmp_path / f"plot.{suffix}" for suffix in ("png", "svg", "pdf")]
    plot_precision_recall(files, {"Easy": CURVES, "Hard": CURVES}, title="all of it")
    assert Image.open(files[0]).format == "PNG"
    assert ElementTree.parse(files[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert files[2].read_bytes().startswith(b"%PDF")
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_the_same_curves_give_the_same_file(tmp_path):
    for name in ("a.svg", "b.svg"):
        plot_precision_recall(tmp_path / name, {"": CURVES})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_the_legend_names_the_best_first_with_its_figure(tmp_path, drawn):
    plot_precision_recall(tmp_path / "plot.svg", {"": CURVES})
    assert legend(drawn[0]) == ["0.750  mine", "0.450  worse", "no figure"]


def test_what_was_measured_stands_out(tmp_path, drawn):
    plot_precision_recall(tmp_path / "plot.svg", {"": CURVES})
    own, other, _ = drawn[0].get_lines()
    assert own.get_linewidth() > other.get_linewidth()
    assert own.get_zorder() > other.get_zorder()
    assert drawn[0].get_legend().get_texts()[0].get_fontweight() == "bold"


def test_a_detector_looks_alike_in_all_panels(tmp_path, drawn):
    many = [Curve(f"number {n}", [0.5], [0.5], n / 16) for n in range(16)]
    plot_precision_recall(tmp_path / "plot.svg", {"Easy": many, "Hard": many[::-1][:9]})

    def styles(panel):
        return {line.get_label(): (line.get_color(), line.get_linestyle()) for line in panel.lines}

    easy, hard = map(styles, drawn)
    assert len(set(easy.values())) == 16
    assert hard.items() <= easy.items()


def test_a_curve_is_drawn_from_recall_0_at_the_precision_that_counts_there(tmp_path, drawn):
    plot_precision_recall(tmp_path / "plot.svg", {"": [Curve("a", [0.6, 0.7], [0.8, 0.9])]})
    np.testing.assert_array_equal(drawn[0].lines[0].get_xdata(), [0, 0.6, 0.7])
    np.testing.assert_array_equal(drawn[0].lines[0].get_ydata(), [0.9, 0.8, 0.9])


def test_points_without_a_precision_are_left_out(tmp_path, drawn):
    plot_precision_recall(tmp_path / "plot.svg", {"": [Curve("a", [0, 0.7], [np.nan, 0.9])]})
    np.testing.assert_array_equal(drawn[0].lines[0].get_xdata(), [0, 0.7])


def test_an_empty_curve_and_an_empty_panel_are_drawn(tmp_path, drawn):
    plot_precision_recall(tmp_path / "plot.svg", {"a": [Curve("none", [], [], 0.0)], "b": []})
    assert legend(drawn[0]) == ["0.000  none"]
    assert drawn[1].get_legend() is None


def test_rates_are_steps_up_to_the_last_number_of_false_positives(tmp_path, drawn):
    curve = Curve("mine", [0, 0, 1, 5], [0.1, 0.6, 0.7, 0.85], own=True)
    plot_roc(tmp_path / "plot.png", {"Discrete": [curve]}, most_false_positives=500)
    (panel,) = drawn
    assert panel.lines[0].get_drawstyle() == "steps-post"
    assert panel.get_xlim() == (0, 500)
    assert panel.get_ylim() == (pytest.approx(0.5), 1)
    plot_roc(tmp_path / "plot.png", {"Discrete": [curve]}, log=True)
    assert drawn[1].get_xscale() == "log"
    assert drawn[1].get_xlim() == (1, 2000)


def test_names_are_shown_as_they_are(tmp_path, drawn):
    names = ["a_b", "$5 and $6", "100 % <b>"]
    plot_precision_recall(tmp_path / "plot.png", {"": [Curve(n, [0.5], [0.5]) for n in names]})
    assert [text.replace("\\", "") for text in legend(drawn[0])] == names


@pytest.mark.parametrize("text", ["caf\udce9", r"$\wrong$"])
def test_titles_and_names_may_be_any_text(tmp_path, text):
    for suffix in ("png", "svg", "pdf"):
        file = tmp_path / f"plot.{suffix}"
        plot_precision_recall(file, {"": [Curve(text, [0.5], [0.5])]}, title=text)
        assert file.stat().st_size


def test_curves_of_both_kinds_are_taken():
    measured = PrecisionRecall.from_outcomes([0.9, 0.8], [True, False], 2)
    own = Curve.from_precision_recall("mine", measured)
    assert (own.value, own.own) == (0.5, True)
    np.testing.assert_array_equal(own.x, [0.5, 0.5])
    published = PublishedCurve("SFD", "S3FD", "hard", np.array([1.0]), np.array([0.5]))
    other = Curve.from_published(published)
    assert (other.name, other.value, other.own) == ("S3FD", 0.5, False)


def test_what_can_not_be_written_is_known_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"plot\.gif: expected a name that ends in \.png, \.svg"):
        check_plot_files([tmp_path / "plot.png", tmp_path / "plot.gif"])
    with pytest.raises(ValueError, match="there is no folder"):
        check_plot_files(tmp_path / "no" / "plot.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match=r"folder\.png is a folder"):
        check_plot_files(tmp_path / "folder.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 's3fd\[eval\]'"):
        check_plot_files(tmp_path / "plot.png")


def test_bad_curves_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"odd: expected x and y \[K\]"):
        plot_precision_recall(tmp_path / "a.png", {"": [Curve("odd", [1, 2], [1])]})
    with pytest.raises(ValueError, match="panels: expected at least one"):
        plot_precision_recall(tmp_path / "a.png", {})
    with pytest.raises(ValueError, match="most_false_positives"):
        plot_roc(tmp_path / "a.png", {"": []}, most_false_positives=1)
    assert not list(tmp_path.iterdir())


def test_the_style_of_other_plots_stays(tmp_path):
    from matplotlib import rcParams

    before = {name: rcParams[name] for name in plots._STYLE}
    plot_precision_recall(tmp_path / "a.png", {"": CURVES})
    assert {name: rcParams[name] for name in plots._STYLE} == before
