"""The tables at the end of a long run, on the screen and in a file beside the samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.soak.samples import Row, tolerance_of


class Report:
    """Prints, and keeps what was printed."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._console = Console(width=120, record=True, highlight=False)

    def say(self, sentence: str) -> None:
        """A line."""
        self._console.print(sentence, markup=False)

    def table(self, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table."""
        self.say(f"\n{title}")  # as a table's own title it would be broken at the table's width
        made = Table()
        for place, heading in enumerate(headings):
            made.add_column(heading, justify="right" if place else "left")
        for row in rows:
            made.add_row(*row)
        self._console.print(made)

    def close(self) -> None:
        """Writes the file."""
        self._place.write_text(self._console.export_text())


def slope_cells(row: Row) -> Sequence[str]:
    """A figure's cells: per hour with its 95 % interval, first and last value, what is allowed, and the verdict."""
    slope, tolerance = row.slope, tolerance_of(row.what)
    return (
        row.what,
        f"{slope.per_hour:+.2f} ± {slope.give_or_take:.2f}" if slope else "",
        f"{row.first:.1f}",
        f"{row.last:.1f}",
        f"{tolerance.above(row.first):+,.0f}" if tolerance else "",
        "LEAKS" if row.leaks else "",
    )


SLOPE_HEADINGS = ("", "per hour", "first", "last", "allowed", "")


def counts(found: Mapping[str, int]) -> Sequence[Sequence[str]]:
    """Rows of a name and a number."""
    return [(name, f"{count:,}") for name, count in sorted(found.items())]
