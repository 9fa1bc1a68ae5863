"""Outcomes as a table, as JSON, as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import _outputs
from benchmarks._compare import COMPILED, OURS, TORCHVISION, TWIN, Outcome

_COLUMNS = (
    "faster than twin",
    "than torchvision",
    "memory, twin",
    "memory, ours",
    "of limit",
)
_STYLES = {TWIN: "C0", COMPILED: "C1", TORCHVISION: "C2", OURS: "C3"}
_PEER_STYLES = ("C4", "C5", "C6", "C8", "C9")


def contenders(outcomes: Sequence[Outcome]) -> list[str]:
    """Whose times are shown: ours, those of torch, and those of other packages that took part."""
    seen = dict.fromkeys(name for outcome in outcomes for name in outcome.seconds)
    peers = [name for name in seen if name not in (TWIN, COMPILED, TORCHVISION, OURS)]
    return [TWIN, COMPILED, TORCHVISION, *peers, OURS]


def summary(outcome: Outcome) -> str:
    """Our time, and how many times as long the twin takes."""
    return f"ours {_time(outcome.seconds[OURS])}, {_ratio(outcome.ratio(TWIN))}"


def row(outcome: Outcome, shown: Sequence[str]) -> list[str]:
    """The cells of an outcome: the case, the times of these contenders, and the other columns."""
    case, series = outcome.case, outcome.case.series
    name = case.name if series == case.operator else f"{series}, {case.name}"
    times = [_time(outcome.seconds.get(contender)) for contender in shown]
    ratios = [_ratio(outcome.ratio(contender)) for contender in (TWIN, TORCHVISION)]
    memory = [_bytes(outcome.memory.get(contender)) for contender in (TWIN, OURS)]
    return [name, *times, *ratios, *memory, f"{_two_digits(outcome.percent_of_limit)} %"]


def headline(machine: Mapping[str, Any], bandwidth: Mapping[str, float], source: str) -> list[str]:
    """Where the figures come from."""
    wish = f" (at most {machine['at_most']})" if machine["at_most"] else ""
    gpu = f"{machine['gpu']}, " if "gpu" in machine else ""
    copies = f"copies {bandwidth['all_threads'] / 1e9:.3g} GB/s, read and written"
    if "one_thread" in bandwidth:
        copies += f" ({bandwidth['one_thread'] / 1e9:.3g} with one thread)"
    return [
        f"{gpu}{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['instruction_set']}{wish}, torch {machine['torch']}",
        copies,
        f"inputs: {source}",
    ]


def table(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Prints all outcomes, operator by operator, and why entries are missing."""
    printed = Table(header_style="bold", padding=(0, 1))
    printed.add_column("case", min_width=24)
    shown = contenders(outcomes)
    for column in (*shown, *_COLUMNS):
        printed.add_column(column, justify="right")
    for operator, group in groupby(outcomes, key=lambda outcome: outcome.case.operator):
        printed.add_section()
        printed.add_row(operator, style="bold")
        for outcome in group:
            printed.add_row(*row(outcome, shown))
    console.print(printed)
    for reason in reasons(outcomes):
        console.print(reason, style="dim", markup=False, highlight=False)


def reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Why a contender has no time, with the operators that this is about."""
    found: dict[tuple[str, str], set[str]] = {}
    for outcome in outcomes:
        for contender, reason in outcome.missing.items():
            found.setdefault((contender, reason), set()).add(outcome.case.operator)
    return [
        f"no {contender}: {reason} ({', '.join(sorted(operators))})"
        for (contender, reason), operators in found.items()
    ]


def markdown(outcomes: Sequence[Outcome], lines: Sequence[str]) -> str:
    """The same table for docs/benchmarks.md, with where it comes from."""
    shown = contenders(outcomes)
    columns = [*shown, *_COLUMNS]
    rows = [["operator", "case", *columns], ["---", "---", *["---:"] * len(columns)]]
    rows += [[f"`{outcome.case.operator}`", *row(outcome, shown)] for outcome in outcomes]
    text = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    return f"{text}\n\n{'; '.join(lines)}.\n"


def write_json(
    file: Path,
    outcomes: Sequence[Outcome],
    machine: Mapping[str, Any],
    bandwidth: Mapping[str, float],
    source: str,
) -> None:
    """Writes everything that was measured."""
    record = {
        "machine": machine,
        "copy_bytes_per_second": bandwidth,
        "inputs": source,
        "cases": [outcome.record() for outcome in outcomes],
    }
    _outputs.write_json(file, record)


def plot(file: Path, outcomes: Sequence[Outcome], title: str) -> None:
    """Draws time against size, one panel an operator; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    operators = list(dict.fromkeys(outcome.case.operator for outcome in outcomes))
    columns = min(3, len(operators))
    rows = -(-len(operators) // columns)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(5 * columns, 3.6 * rows), squeeze=False, layout="constrained"
    )
    for panel in panels.flat[len(operators) :]:
        panel.remove()
    for panel, operator in zip(panels.flat, operators, strict=False):
        _draw_panel(panel, operator, [o for o in outcomes if o.case.operator == operator])
    figure.suptitle(title, fontsize=9)
    _outputs.write_figure(file, figure, dpi=110)
    pyplot.close(figure)


def _draw_panel(panel: Any, operator: str, outcomes: Sequence[Outcome]) -> None:
    series = list(dict.fromkeys(outcome.case.series for outcome in outcomes))
    shown = contenders(outcomes)
    styles = {**dict(zip(shown[3:-1], cycle(_PEER_STYLES), strict=False)), **_STYLES}
    for marker, name in zip("osD^vPX", series, strict=False):
        for contender in shown:
            points = sorted(
                (o.case.size, 1e3 * o.seconds[contender])
                for o in outcomes
                if o.case.series == name and contender in o.seconds
            )
            if points:
                label = contender if len(series) == 1 else f"{contender}, {name}"
                x, y = zip(*points, strict=True)
                panel.plot(x, y, marker=marker, color=styles[contender], label=label, ms=4, lw=1)
    panel.set(
        xscale="log",
        yscale="log",
        title=operator,
        xlabel=outcomes[0].case.unit,
        ylabel="milliseconds",
    )
    panel.minorticks_off()
    panel.grid(visible=True, which="major", alpha=0.3)
    panel.legend(fontsize=6)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    milliseconds = 1e3 * seconds
    return f"{_three_digits(milliseconds)} ms" if milliseconds >= 1 else f"{1e6 * seconds:.3g} µs"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{_three_digits(ratio)}x"


def _bytes(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{_three_digits(count / 2**20)} MB" if count >= 2**20 else f"{count / 2**10:.0f} kB"


def _two_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def _three_digits(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
