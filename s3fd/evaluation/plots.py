"""Precision-recall and ROC curves as papers show them: PNG, SVG or PDF."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from s3fd.evaluation.average_precision import PrecisionRecall
from s3fd.evaluation.wider_face.published import PublishedCurve
from s3fd.files import whole_file, why_not_writable

__all__ = ["Curve", "check_plot_files", "plot_precision_recall", "plot_roc"]

_SUFFIXES = (".png", ".svg", ".pdf")
# Okabe and Ito's colours, which colour-blind readers can tell apart; black is what was measured.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31", "#7F7F7F")
_DASHES = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (5, 1.4, 1.2, 1.4)))
_OWN_COLOURS = ("#000000", "#C1121F", "#5A189A", "#386641")
_OWN_ORDER = 4  # drawn last
_MOST_INSIDE = 4
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelcolor": "#000000",
    "ytick.labelcolor": "#000000",
    "legend.fontsize": 7.5,
    "path.simplify_threshold": 0.3,
    "svg.hashsalt": "s3fd",  # the same curves give the same file
    "pdf.fonttype": 42,
}


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a plot.

    Attributes:
        name: of the detector, for the legend.
        x: ``[K]``, rising: recall, or the number of false positives.
        y: ``[K]``: precision, or the true positive rate; points with NaN are left out.
        value: its figure, which the legend shows and is sorted by, best first: average precision,
            or the rate at some number of false positives.
        own: whether it is what was measured just now, and stands out among the others.
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    value: float | None = None
    own: bool = False

    @classmethod
    def from_published(cls, curve: PublishedCurve) -> Curve:
        """A curve for company."""
        return cls(curve.legend, curve.recall, curve.precision, curve.average_precision)

    @classmethod
    def from_precision_recall(cls, name: str, curve: PrecisionRecall) -> Curve:
        """What was measured."""
        return cls(name, curve.recall, curve.precision, curve.average_precision, own=True)


def plot_precision_recall(
    files: str | Path | Sequence[str | Path],
    panels: Mapping[str, Sequence[Curve]],
    *,
    title: str = "",
) -> None:
    """Draws precision against recall.

    A curve that begins at a larger recall, since its highest threshold passes many faces at once,
    is drawn from recall 0 on at the precision that average precision counts there.

    Args:
        files: one or more; the suffix says the form: ``.png``, ``.svg``, ``.pdf``.
        panels: the curves of each panel, by its title; of one panel, the title may be empty.
        title: of the whole figure.

    Raises:
        ValueError, ImportError: as `check_plot_files`; or there is no panel, or a curve's points do
            not fit.
    """

    def draw(axes: Any, curves: Sequence[_Prepared]) -> None:
        for curve, x, y, style in curves:
            if len(x):
                x, y = np.insert(x, 0, 0.0), np.insert(y, 0, np.max(y))
            axes.plot(x, y, label=_label(curve), **style)
        axes.set(xlim=(0, 1), ylim=(0, 1.005), xlabel="Recall", ylabel="Precision")
        axes.set_xticks(np.linspace(0, 1, 6))
        axes.set_yticks(np.linspace(0, 1, 6))

    _save(files, _prepared(panels), draw, title, legend="lower left")


def plot_roc(
    files: str | Path | Sequence[str | Path],
    panels: Mapping[str, Sequence[Curve]],
    *,
    title: str = "",
    most_false_positives: int = 2000,
    log: bool = False,
) -> None:
    """Draws the true positive rate against the number of false positives, as FDDB does.

    Args:
        files: as for `plot_precision_recall`.
        panels: for example ``{"Discrete score": [...], "Continuous score": [...]}``.
        title: of the whole figure.
        most_false_positives: where the axis ends.
        log: whether its scale is logarithmic, from 1 on.

    Raises:
        ValueError, ImportError: as `plot_precision_recall`; or `most_false_positives` is below 2.
    """
    if most_false_positives < 2:
        raise ValueError(f"most_false_positives: expected 2 or more, got {most_false_positives}")
    prepared = _prepared(panels)
    first = 1 if log else 0
    bottom = _bottom((x, y) for curves in prepared.values() for _, x, y, _ in curves)

    def draw(axes: Any, curves: Sequence[_Prepared]) -> None:
        for curve, x, y, style in curves:
            axes.plot(x, y, label=_label(curve), drawstyle="steps-post", **style)
        if log:
            axes.set_xscale("log")
        axes.set(xlim=(first, most_false_positives), ylim=(bottom, 1))
        axes.set(xlabel="False positives", ylabel="True positive rate")

    _save(files, prepared, draw, title, legend="lower right")


def check_plot_files(files: str | Path | Sequence[str | Path]) -> None:
    """Finds what would keep a plot from being written; to be called before the work.

    Raises:
        ValueError: a suffix is unknown, or no file can be made in a folder.
        ImportError: matplotlib is missing.
    """
    for path in _paths(files):
        if path.suffix.lower() not in _SUFFIXES:
            raise ValueError(f"{path}: expected a name that ends in {', '.join(_SUFFIXES)}")
        if path.is_dir():
            raise ValueError(f"{path} is a folder")
        if not path.parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.parent}")
        if why_not := why_not_writable(path.parent):
            raise ValueError(f"{path}: {why_not}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError("matplotlib is needed for plots: pip install 's3fd[eval]'") from error


def _paths(files: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(files)] if isinstance(files, str | Path) else [Path(file) for file in files]


_Prepared = tuple[Curve, NDArray[np.float64], NDArray[np.float64], dict[str, Any]]


def _prepared(panels: Mapping[str, Sequence[Curve]]) -> dict[str, list[_Prepared]]:
    """The curves of each panel, best first, with their points and style; a name has one style."""
    if not panels:
        raise ValueError("panels: expected at least one")
    # The best have the plainest lines.
    everything = sorted((curve for curves in panels.values() for curve in curves), key=_rank)
    own = list(dict.fromkeys(curve.name for curve in everything if curve.own))
    others = list(dict.fromkeys(curve.name for curve in everything if not curve.own))
    prepared: dict[str, list[_Prepared]] = {}
    for title, curves in panels.items():
        prepared[title] = []
        for curve in sorted(curves, key=_rank):
            names = own if curve.own else others
            style = _style(names.index(curve.name), curve.own)
            prepared[title].append((curve, *_points(curve), style))
    return prepared


def _rank(curve: Curve) -> float:
    return math.inf if curve.value is None or math.isnan(curve.value) else -curve.value


def _points(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            f"{curve.name}: expected x and y [K], got shapes {list(x.shape)} and {list(y.shape)}"
        )
    known = ~(np.isnan(x) | np.isnan(y))
    return x[known], y[known]


def _style(index: int, own: bool) -> dict[str, Any]:
    if own:
        colour = _OWN_COLOURS[index % len(_OWN_COLOURS)]
        dashes = _DASHES[index // len(_OWN_COLOURS) % len(_DASHES)]
        return {"color": colour, "linestyle": dashes, "linewidth": 2.2, "zorder": _OWN_ORDER}
    colour = _COLOURS[index % len(_COLOURS)]
    dashes = _DASHES[index // len(_COLOURS) % len(_DASHES)]
    return {"color": colour, "linestyle": dashes, "linewidth": 1.2, "zorder": _OWN_ORDER - 1}


def _label(curve: Curve) -> str:
    # A leading underscore would keep a curve out of the legend.
    name = _plain(curve.name).lstrip("_")
    if curve.value is None or math.isnan(curve.value):
        return name
    return f"{curve.value:.3f}  {name}"


def _plain(text: str) -> str:
    """As matplotlib draws it: a $ would begin a formula, and what is no text end the drawing."""
    return text.replace("$", r"\$").encode(errors="backslashreplace").decode()


def _add_legend(axes: Any, place: Mapping[str, Any]) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    legend = axes.legend(handles, labels, frameon=True, handlelength=2.2, **place)
    legend.get_frame().set(facecolor="white", edgecolor="none", alpha=0.85)
    for handle, text in zip(handles, legend.get_texts(), strict=True):
        if handle.get_zorder() == _OWN_ORDER:
            text.set_fontweight("bold")


def _bottom(points: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Where the axis of rates begins: below the curves' ends, of which the most is to be seen."""
    ends = [float(y[-1]) for _, y in points if len(y)]
    return max(0.0, math.floor(10 * min(ends, default=0.0)) / 10 - 0.3)


def _save(
    files: str | Path | Sequence[str | Path],
    panels: Mapping[str, Sequence[_Prepared]],
    draw: Callable[[Any, Sequence[_Prepared]], None],
    title: str,
    *,
    legend: str,
) -> None:
    check_plot_files(files)
    import matplotlib
    from matplotlib.figure import Figure

    size, place = _layout(panels, legend)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (panel, curves) in zip(grid, panels.items(), strict=True):
            draw(axes, curves)
            axes.set_title(panel)
            axes.set_axisbelow(True)
            if axes is not grid[0]:
                axes.set_ylabel("")
            _add_legend(axes, place)
        if title:
            figure.suptitle(_plain(title), fontsize=10)
        for path in _paths(files):
            form = path.suffix.lower().removeprefix(".")
            metadata = {"png": {"Software": "s3fd"}, "svg": {"Date": None}}
            with whole_file(path) as file:
                figure.savefig(
                    file,
                    format=form,
                    dpi=200,
                    metadata=metadata.get(form, {"CreationDate": None}),
                )


def _layout(
    panels: Mapping[str, Sequence[_Prepared]], legend: str
) -> tuple[tuple[float, float], dict[str, Any]]:
    """Width and height of a figure in inches, and where its legends are.

    A few names go into the panel, many beside or below it, where they hide nothing.
    """
    names = max(map(len, panels.values()))
    inside = names <= _MOST_INSIDE
    if len(panels) == 1:
        beside = {"loc": "center left", "bbox_to_anchor": (1.02, 0.5)}
        return (4.6, 3.6) if inside else (6.8, 3.6), {"loc": legend} if inside else beside
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.18)}
    height = 3.2 if inside else 3.2 + 0.17 * names
    return (3.3 * len(panels), height), {"loc": legend} if inside else below
