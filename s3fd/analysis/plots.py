"""The pictures of the analyses; they need matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from s3fd.analysis.matching import RULES, MatchedAnchors, ScaleBin, anchor_scales
from s3fd.analysis.receptive_field import Extent, ReceptiveField

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_FACES = 10
"""Bins with fewer faces are left out of the lines: their mean says little."""

# Of Okabe and Ito's palette, which people with any colour vision can tell apart.
_COLOURS = ("#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_ANCHOR, _EFFECTIVE, _THEORETICAL = "#0072B2", "#D55E00", "#000000"
_STYLE: Any = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "font.size": 9,
    "legend.frameon": False,
    "svg.hashsalt": "s3fd",  # the same picture, the same file
}


def draw_matching(matched: MatchedAnchors, bins: Sequence[ScaleBin]) -> Figure:
    """Mean matched anchors against face scale for each rule, above how many faces there are.

    Args:
        matched: with at least one face.
        bins: of `MatchedAnchors.bins`.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
        shown = [b for b in bins if b.faces >= FEWEST_FACES] or list(bins)
        middles = [(b.low * b.high) ** 0.5 for b in shown]
        for index, (name, counts) in enumerate(matched.counts.items()):
            above.plot(
                middles,
                [b.mean[name] for b in shown],
                color=_COLOURS[index % len(_COLOURS)],
                marker=_MARKERS[index % len(_MARKERS)],
                ms=3.5,
                lw=1.5,
                ls="-" if index < len(RULES) else "--",  # what comes on top hides no line
                label=f"{name}: {counts.mean():.1f} a face",
                clip_on=False,
            )
        above.set(ylabel="matched anchors a face", ylim=(0, None))
        above.legend(loc="upper left")
        below.bar(
            [b.low for b in bins],
            [b.faces for b in bins],
            width=[b.high - b.low for b in bins],
            align="edge",
            color="0.75",
            edgecolor="white",
            linewidth=0.4,
        )
        below.set(ylabel="faces", yscale="log", ylim=(0.8, None))
        below.set_xlabel("scale of the face: square root of its area, in pixels of the input")
        _scale_axis(below, min(middles), max(middles))
        scales = sorted(set(anchor_scales(matched.grid)))
        for panel in (above, below):
            panel.axvspan(0.1, scales[0], color="0.95", zorder=0)
            for scale in scales:
                panel.axvline(scale, color="0.6", lw=0.7, ls=":", zorder=0)
        _name_anchors(above, scales)
    return figure


def _scale_axis(panel: Axes, low: float, high: float) -> None:
    ticks = 2.0 ** np.arange(np.floor(np.log2(low)), np.ceil(np.log2(high)) + 1)
    panel.set_xscale("log", base=2)
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.minorticks_off()
    panel.set_xlim(low / 1.1, high * 1.1)


def _name_anchors(panel: Axes, scales: Sequence[float]) -> None:
    low, high = panel.get_xlim()
    top = panel.get_xaxis_transform()
    for scale in scales:
        if low < scale < high:
            panel.text(scale, 1.01, f"{scale:g}", transform=top, ha="center", va="bottom", size=8)
    panel.text(0.0, 1.01, "anchors:", transform=panel.transAxes, va="bottom", size=8)
    if low < scales[0]:
        middle = (low * scales[0]) ** 0.5
        panel.text(middle, 0.5, "tiny faces", transform=top, ha="center", color="0.45")
    for left, right in pairwise(scales):
        middle = (left * right) ** 0.5
        if middle < high:
            panel.text(middle, 0.03, "outer", transform=top, ha="center", color="0.45", size=8)


def draw_receptive_fields(fields: Sequence[ReceptiveField], energy: float) -> Figure:
    """A panel for each level with its gradient and its three squares, and one with their sizes.

    Args:
        fields: of `receptive_fields`.
        energy: share of the squared gradient that the effective fields hold.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

    columns = min(3, len(fields))
    rows = -(-len(fields) // columns)
    with rc_context(_STYLE):
        figure = Figure(figsize=(2.3 * columns + 3.6, max(2.35 * rows, 3.4)), layout="constrained")
        cells = GridSpec(rows, columns + 1, figure, width_ratios=[*[1] * columns, 1.45])
        for index, field in enumerate(fields):
            panel = figure.add_subplot(cells[index // columns, index % columns])
            _draw_field(panel, field)
        _draw_sizes(figure.add_subplot(cells[:, -1]), fields, energy)
    return figure


def _draw_field(panel: Axes, field: ReceptiveField) -> None:
    """The gradient as an image, in pixels from the anchor's centre."""
    shown = np.sqrt(field.gradient)  # bright enough off the centre
    extent = (field.input.left, field.input.right, field.input.bottom, field.input.top)
    panel.imshow(
        shown, cmap="Greys", vmin=0, vmax=np.quantile(shown[shown > 0], 0.999), extent=extent
    )
    if field.theoretical is not None:
        _draw_box(panel, field.theoretical, _THEORETICAL, "--")
    _draw_box(panel, field.effective, _EFFECTIVE, "-")
    for width, height in field.anchors:
        anchor = Extent(-width / 2, -height / 2, width / 2, height / 2)
        _draw_box(panel, anchor, _ANCHOR, "-")
    x, y = (field.theoretical or field.input).centre
    anchor_side = max(max(shape) for shape in field.anchors)
    reach = 0.54 * max((field.theoretical or field.input).size, field.effective.size, anchor_side)
    tick = _round_down(reach / 1.4)
    ticks = (-tick, 0, tick)
    panel.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach), xticks=ticks, yticks=ticks)
    panel.set_title(f"stride {field.stride}")
    panel.spines[:].set_visible(True)
    panel.spines[:].set_color("0.8")
    panel.tick_params(labelsize=7, length=2, color="0.8")


def _draw_box(panel: Axes, box: Extent, colour: str, style: str) -> None:
    from matplotlib.patches import Rectangle

    width, height = box.right - box.left, box.bottom - box.top
    corner = (box.left, box.top)
    panel.add_patch(
        Rectangle(corner, width, height, fill=False, ec=colour, ls=style, lw=1.3, clip_on=False)
    )


def _round_down(number: float) -> int:
    """To one digit that is not zero, or to 1."""
    digit = 10 ** max(0, int(np.log10(max(number, 1))))
    return max(1, int(number // digit * digit))


def _draw_sizes(panel: Axes, fields: Sequence[ReceptiveField], energy: float) -> None:
    """Side of each square against the stride."""
    theoretical = [(f.stride, f.theoretical.size) for f in fields if f.theoretical is not None]
    effective = [(f.stride, f.effective.size) for f in fields]
    anchors = [(f.stride, (w * h) ** 0.5) for f in fields for w, h in f.anchors]
    effective_name = f"effective field ({100 * energy:g} % of the energy)"
    for name, points, colour, style, above in (
        ("theoretical field", theoretical, _THEORETICAL, "s--", 5),
        (effective_name, effective, _EFFECTIVE, "o-", 5),
        ("anchor", anchors, _ANCHOR, "D-", -11),
    ):
        strides, sides = [stride for stride, _ in points], [side for _, side in points]
        panel.plot(strides, sides, style, color=colour, ms=4, label=name)
        for stride, side in points:
            panel.annotate(
                f"{side:.0f}",
                (stride, side),
                xytext=(0, above),
                textcoords="offset points",
                ha="center",
                color=colour,
                size=7,
            )
    panel.set_xscale("log", base=2)
    panel.set_yscale("log", base=2)
    panel.margins(x=0.08, y=0.12)
    strides = [field.stride for field in fields]
    panel.set_xticks(strides, [str(stride) for stride in strides])
    panel.set_xlabel("stride of the level")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_title("side, in pixels of the input", loc="left")
    panel.grid(visible=True, axis="y", color="0.9", lw=0.6)
    panel.legend(loc="upper left", fontsize=8)


def save(figure: Figure, file: IO[bytes], suffix: str) -> None:
    """Writes a picture to an open file.

    Args:
        figure: one of this module.
        file: to write to.
        suffix: the format, ``".png"``, ``".svg"`` or ``".pdf"``.
    """
    from matplotlib import rc_context

    kind = suffix.lower().lstrip(".")
    # Without a date, the same numbers give the same file.
    metadata: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with rc_context(_STYLE):
        figure.savefig(file, format=kind, dpi=160, metadata=metadata)
