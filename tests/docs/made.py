"""Documents made from the code: the settings in the README, the table of errors, the list of commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from entrypoints.settings_table import SettingRow, quickstart_table, settings_table
from tests.docs.commands import COMMANDS, commands
from tests.docs.errors import ERRORS, errors
from tests.docs.fields import FIELDS, fields
from tests.docs.metrics import METRICS, metrics
from tests.docs.openapi import API_PAGE, OPENAPI, api_page, openapi

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
_OPEN = "<!-- settings: made by `python -m tests.docs`; do not edit by hand -->"
_CLOSE = "<!-- /settings -->"


def settings_markdown() -> str:
    """The settings as a table, and those of quickstart alone as another."""
    of_quickstart = "Read by `quickstart` only, and from the environment only; no `.env` file is read for them:"
    return "\n\n".join([_table(settings_table()), of_quickstart, _table(quickstart_table())])


def _table(rows: Sequence[SettingRow]) -> str:
    lines = [f"| `{row.name}` | {f'`{row.default}`' if row.default else ''} | {row.meaning} |" for row in rows]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *lines])


def readme() -> str:
    """The README with its settings."""
    text = README.read_text()
    before, rest = text.split(_OPEN)
    return f"{before}{_OPEN}\n{settings_markdown()}\n{_CLOSE}{rest.split(_CLOSE)[1]}"


def write_all() -> None:
    """Writes them all."""
    README.write_text(readme())
    ERRORS.write_text(errors())
    COMMANDS.write_text(commands())
    METRICS.write_text(metrics())
    FIELDS.write_text(fields())
    OPENAPI.write_text(openapi())
    API_PAGE.write_text(api_page())
