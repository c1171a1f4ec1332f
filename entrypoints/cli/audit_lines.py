"""Lines of the audit, for people and for programs. The names in documents are a contract and do not change."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO

import attrs
from rich.cells import cell_len

from domain.models import shortest
from domain.ports.audit_reader import AuditLine
from entrypoints.cli.printing import Cell, Column, number, print_table, visible
from entrypoints.cli.shapes import Document

_WIDE = [
    Column("Time (UTC)", whole=True),
    Column("Event", whole=True),
    Column("Tenant"),
    Column("Key", whole=True),
    Column("Route"),
    Column("Model"),
    Column("Outcome"),
    Column("Tokens", "right"),
    Column("Took", "right"),
]
_NARROW = [*_WIDE[:2], Column("Tenant\nKey"), Column("Route\nModel"), *_WIDE[6:]]
"""What belongs together stands below one another."""
_WIDE_FROM = 110
"""Columns of a terminal."""
_WIDTHS = (14, 9, 14, 11, 18, 20, 20, 13, 8)
_NARROW_WIDTHS = (8, 9, 12, 16, 13, 9, 6)
"""Of followed lines, whose longest is not known beforehand."""
_A_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001  spreadsheets take these, too
FIELDS = ("at", *(field.name for field in attrs.fields(AuditLine) if field.name != "at"))


def document(line: AuditLine) -> Document:
    """A line as a JSON object; null where something does not apply."""
    values = {name: getattr(line, name) for name in FIELDS}
    return values | {"at": _instant(line.at), "detail": None if line.detail is None else dict(line.detail)}


def json_line(line: AuditLine) -> str:
    """The same as one line of text."""
    return json.dumps(document(line), separators=(",", ":"), default=str)


def csv_head() -> str:
    """The first line of a CSV file."""
    return _csv(FIELDS)


def csv_line(line: AuditLine) -> str:
    """The others. A spreadsheet takes text that begins like a formula for one, and some of it is a caller's: such text
    gets an apostrophe in front. Source: OWASP, "CSV Injection".
    """
    values = document(line)
    if line.detail is not None:
        values["detail"] = json.dumps(values["detail"], separators=(",", ":"), default=str)
    return _csv([_harmless(values[name]) for name in FIELDS])


def print_lines(lines: Sequence[AuditLine]) -> None:
    """A table for people."""
    wide = _is_wide()
    print_table("Audit", _WIDE if wide else _NARROW, [_cells(line) if wide else _narrow(line) for line in lines])


def text_line(line: AuditLine) -> str:
    """One line for people, in columns that wait for longer values."""
    wide = _is_wide()
    cells, widths = (_cells(line), _WIDTHS) if wide else (_shortened(line), _NARROW_WIDTHS)
    shown = map(visible, cells)
    fitted = (cell + " " * (width - cell_len(cell)) for cell, width in zip(shown, widths, strict=True))
    return " ".join(fitted).rstrip()


def _is_wide() -> bool:
    """A pipe is as wide as it needs to be."""
    return not sys.stdout.isatty() or shutil.get_terminal_size().columns >= _WIDE_FROM


def _cells(line: AuditLine) -> Sequence[str]:
    return [
        f"{line.at.astimezone(UTC):%m-%d %H:%M:%S}",
        line.event,
        line.tenant_name or "-",
        line.key_prefix or "-",
        line.route or "-",
        "-" if line.model is None else shortest(line.model),
        _outcome(line),
        _tokens(line),
        "-" if line.duration_ms is None else f"{line.duration_ms / 1000:.1f} s",
    ]


def _narrow(line: AuditLine) -> Sequence[Cell]:
    time, event, tenant, key, route, model, *rest = _cells(line)
    return [time, event, [tenant, key], [route, model], *rest]


def _shortened(line: AuditLine) -> Sequence[str]:
    """Without day, key and route."""
    time, event, tenant, _key, _route, model, *rest = _cells(line)
    return [time.partition(" ")[2], event, tenant, model, *rest]


def _outcome(line: AuditLine) -> str:
    if line.event == "admin":
        change = "" if line.detail is None else str(line.detail.get("change", ""))
        return f"{change} by {line.actor}".strip()
    status = str(line.status) if line.status else None
    told = [line.outcome, status, line.code, f"x{line.count}" if line.count > 1 else None]
    return " ".join(word for word in told if word) or "-"


def _tokens(line: AuditLine) -> str:
    """`10+25` of prompt and output as charged; `<=130` is what a start holds."""
    if line.event == "started":
        return f"<={number(line.held_tokens)}"
    if line.prompt_tokens is None or line.output_tokens is None:
        return "-"
    return f"{number(line.prompt_tokens)}+{number(line.output_tokens)}"


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _csv(values: Sequence[object]) -> str:
    text = StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue()


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_A_FORMULA_BEGINS) else value
