"""Figures of several detectors as a table: Markdown for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3fd.evaluation.plots import Curve
from s3fd.files import whole_file
from s3fd.messages import shown

__all__ = ["ResultTable"]


@dataclass(frozen=True)
class ResultTable:
    """A line for each detector, a column for each setting.

    Attributes:
        columns: the settings.
        rows: names of detectors, with a figure for each column; None or NaN where there is none.
        caption: what the figures are, and of what data.
        own: names of the detectors that were measured just now, which stand out.

    Raises:
        ValueError: a row has more or fewer figures than there are columns.

    Example:
        >>> table = ResultTable(("easy", "hard"), (("SFD", (0.9378, 0.859)), ("mine", (0.9, None))))
        >>> print(table.markdown(), end="")
        | detector | easy | hard |
        | --- | ---: | ---: |
        | SFD | 0.9378 | 0.8590 |
        | mine | 0.9000 | - |
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]
    caption: str = ""
    own: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for name, figures in self.rows:
            if len(figures) != len(self.columns):
                raise ValueError(
                    f"rows: expected {len(self.columns)} figures of {name!r}, got {len(figures)}"
                )

    @classmethod
    def from_curves(cls, panels: Mapping[str, Sequence[Curve]], caption: str = "") -> ResultTable:
        """The values of the curves of a plot, best first.

        Another detector with the name of one that was measured is called "(other)" besides.

        Raises:
            ValueError: a panel has two curves of one name, both of them measured or neither.
        """
        own = frozenset(curve.name for curves in panels.values() for curve in curves if curve.own)
        names: dict[str, list[float | None]] = {}
        for column, (panel, curves) in enumerate(panels.items()):
            seen: set[str] = set()
            for curve in curves:
                name = curve.name if curve.own or curve.name not in own else f"{curve.name} (other)"
                if name in seen:
                    raise ValueError(
                        f"panels: {shown(panel)} has two curves that are called {shown(name)}; "
                        "give each a name of its own"
                    )
                seen.add(name)
                names.setdefault(name, [None] * len(panels))[column] = curve.value
        rows = tuple((name, tuple(figures)) for name, figures in names.items())
        return cls(tuple(panels), rows, caption, own).sorted()

    def sorted(self) -> ResultTable:
        """The same with the best of the last column first, and those without a figure last."""
        rows = sorted(self.rows, key=lambda row: _rank(row[1][-1] if row[1] else None))
        return dataclasses.replace(self, rows=tuple(rows))

    def markdown(self) -> str:
        """The table, with four decimals, and the caption below."""
        lines = [["detector", *self.columns], ["---", *["---:"] * len(self.columns)]]
        for name, figures in self.rows:
            cells = [name, *map(_decimal, figures)]
            lines.append([_bold(cell) for cell in cells] if name in self.own else cells)
        text = "".join(f"| {' | '.join(map(_cell, cells))} |\n" for cells in lines)
        return f"{text}\n{self.caption}\n" if self.caption else text

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; None where there is no figure."""
        rows = [
            {"detector": name, "own": name in self.own}
            | dict(zip(self.columns, map(_known, figures), strict=True))
            for name, figures in self.rows
        ]
        return {"caption": self.caption, "columns": list(self.columns), "rows": rows}

    def write(self, file: str | Path) -> None:
        """Writes `markdown` to a file that ends in ``.md``, or `to_dict` to one in ``.json``.

        Raises:
            ValueError: it ends in something else.
            OSError: it can't be written.
        """
        path = Path(file)
        if path.suffix not in (".md", ".json"):
            raise ValueError(f"{path}: expected a name that ends in .md or .json")
        is_json = path.suffix == ".json"
        text = json.dumps(self.to_dict(), indent=2) + "\n" if is_json else self.markdown()
        with whole_file(path) as opened:
            opened.write(text.encode(errors="backslashreplace"))  # a name may be no text


def _known(figure: float | None) -> float | None:
    return None if figure is None or math.isnan(figure) else float(figure)


def _rank(figure: float | None) -> float:
    known = _known(figure)
    return math.inf if known is None else -known


def _decimal(figure: float | None) -> str:
    known = _known(figure)
    return "-" if known is None else f"{known:.4f}"


def _bold(cell: str) -> str:
    return cell if cell == "-" else f"**{cell}**"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())
