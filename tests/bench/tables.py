"""Tables for people: what was measured, and under it how."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from rich.console import Console
from rich.table import Table

_WIDTH = 120


@attrs.frozen(kw_only=True)
class Section:
    """One table."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    how: str
    """In a sentence or two."""

    def show(self) -> None:
        """Prints it."""
        table = Table()
        for place, heading in enumerate(self.headings):
            table.add_column(heading, justify="right" if place else "left")
        for row in self.rows:
            table.add_row(*row)
        console = Console(width=_WIDTH)
        console.print(self.title, style="bold", highlight=False)  # as the table's own it would be broken at its width
        console.print(table)
        console.print(f"[dim]{self.how}[/dim]\n", highlight=False)


def us(value: float) -> str:
    """Microseconds."""
    return f"{value:,.0f} us"


def ms(value: float) -> str:
    """Milliseconds."""
    return f"{value:.1f} ms"


def per_s(value: float) -> str:
    """A rate."""
    return f"{value:,.0f}"
