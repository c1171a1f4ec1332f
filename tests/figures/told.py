"""Reads what was told of the figures, and shows it beside what is asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table

from tests.figures.table import Figure

_WIDTH = 150


@attrs.frozen(kw_only=True)
class Told:
    """What one test or program saw."""

    seen: str
    good: bool
    how: str = ""


def read(file: Path) -> Mapping[Figure, Sequence[Told]]:
    """What the file says of each figure, in the order in which it was told, each thing once.

    Raises:
        ValueError: a line is not one of ours.
    """
    found: dict[Figure, dict[Told, None]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file.exists() else [], 1):
        try:
            said = json.loads(line)
            one = Told(seen=said["seen"], good=said["good"], how=said["how"])
            found.setdefault(Figure[said["figure"]], {})[one] = None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file}, line {number}, tells of no figure: {line[:80]}") from error
    return {figure: list(ones) for figure, ones in found.items()}


def missed(told: Mapping[Figure, Sequence[Told]], wanted: Sequence[Figure]) -> Sequence[Figure]:
    """Those that somebody saw outside of the target, and of the wanted ones those that nobody told of."""
    return [
        figure
        for figure in Figure
        if (figure in wanted and figure not in told) or any(not one.good for one in told.get(figure, ()))
    ]


def show(told: Mapping[Figure, Sequence[Told]], console: Console | None = None) -> None:
    """Prints the table: a figure that several have seen has a line for each, what is wrong first."""
    table = Table(show_lines=True)
    for heading in ("figure", "target", "seen", "good", "measured by"):
        table.add_column(heading)
    for figure in Figure:
        ones = sorted(told.get(figure, ()), key=lambda one: one.good)
        good = "" if not ones else "yes" if all(one.good for one in ones) else "NO"
        seen = "\n".join(one.seen for one in ones) or "not measured"
        table.add_row(figure.words, figure.target, seen, good, "\n".join(one.how for one in ones))
    (console or Console(width=_WIDTH, highlight=False)).print(table, markup=False)
