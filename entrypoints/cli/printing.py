"""What the operator sees: tables for people, JSON for programs, notes on the side.

Results go to stdout, everything else to stderr. On a terminal tables are drawn to its width and long values are
folded; in a pipe they are plain aligned columns of any width, so that no value is cut. Names come from a database that
others write too, so what a terminal could take for a command is shown as an escape.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import attrs
import rich_click as click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = "  "

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def examples(*lines: str) -> str:
    """The end of a command's help. Two line breaks are one to rich-click, and one would be none."""
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines])


Cell = str | Text | Sequence[str]
"""Several texts stand below one another on a terminal, and in one line in a pipe."""


@attrs.frozen
class Column:
    """One column: its heading and to which side it is set. Numbers, set to the right, are never folded."""

    heading: str
    side: Literal["left", "right"] = "left"
    whole: bool = attrs.field(default=attrs.Factory(lambda column: column.side == "right", takes_self=True))
    """Never folded, as what people select to copy."""
    cut: bool = False
    """Cut on a terminal rather than folded, where a row must be one line."""
    picture: bool = False
    """No value: left out of a pipe, and of a terminal that is too narrow for it."""


def visible(text: str) -> str:
    """The text with control characters and other invisibles escaped."""
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)


def emit_json(value: object) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, default=_in_json))


def say(sentence: str) -> None:
    """A result in words, on stdout."""
    click.echo(visible(sentence))


def note(sentence: str) -> None:
    """Something by the way, on stderr."""
    click.secho(visible(sentence), dim=True, err=True)


def warn(sentence: str) -> None:
    """Something that the operator should look at, on stderr."""
    click.secho(f"Warning: {visible(sentence)}", fg="yellow", err=True)


def complain(sentence: str) -> None:
    """Why it did not work, on stderr."""
    click.secho(f"Error: {visible(sentence)}", fg="red", err=True)


def print_table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """A table on stdout; in a pipe without title and pictures."""
    rows = list(rows)
    if not sys.stdout.isatty():
        _align(columns, rows)
        return
    console = Console(highlight=False)
    table = drawn(title, columns, rows)
    if console.measure(table).maximum > console.width:
        values = [index for index, column in enumerate(columns) if not column.picture]
        table = drawn(title, [columns[index] for index in values], [[row[index] for index in values] for row in rows])
    console.print(table)


def print_facts(title: str, facts: Mapping[str, str]) -> None:
    """Names and values, one pair a line, on stdout."""
    width = max(map(len, facts))
    if title and sys.stdout.isatty():
        click.secho(visible(title), bold=True)
    for name, value in facts.items():
        click.echo(f"{name:<{width}}{_GAP}{visible(value)}")


def drawn(title: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Table:
    """A table as terminals show it."""
    table = Table(
        title=Text(visible(title)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    for column in columns:
        table.add_column(column.heading, justify=column.side, overflow="fold", no_wrap=column.whole)
    for row in rows:
        table.add_row(*(_drawn_cell(cell, column) for cell, column in zip(row, columns, strict=True)))
    return table


def _drawn_cell(cell: Cell, column: Column) -> Text:
    text = cell if isinstance(cell, Text) else Text("\n".join(_lines(cell)))
    if column.cut:  # of the column itself this would make a column that does not give way to numbers
        text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _align(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    kept = [index for index, column in enumerate(columns) if not column.picture]
    lines = [[" ".join(columns[index].heading.upper().split()) for index in kept]]
    lines += [[", ".join(_lines(row[index])) for index in kept] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(kept))]
    for line in lines:
        cells = (
            cell.rjust(width) if columns[index].side == "right" else cell.ljust(width)
            for cell, width, index in zip(line, widths, kept, strict=True)
        )
        click.echo(_GAP.join(cells).rstrip())


def _lines(cell: Cell) -> Sequence[str]:
    texts = [str(cell)] if isinstance(cell, str | Text) else cell
    return [visible(text) for text in texts]


def day(value: datetime | None, *, none: str = "-") -> str:
    """A date, UTC."""
    return none if value is None else f"{value.astimezone(UTC):%Y-%m-%d}"


def number(value: int | None, *, none: str = "-") -> str:
    """A number with its thousands set apart."""
    return none if value is None else f"{value:,}"


def moment(value: datetime | None, *, none: str = "-") -> str:
    """A point in time, to the minute, UTC."""
    return none if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"


def _in_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    raise TypeError(f"{type(value).__name__} has no JSON form here")
