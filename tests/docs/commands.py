"""The list of commands, names in their JSON and exit statuses, made from the code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import rich_click as click

from entrypoints.cli import root
from entrypoints.cli.problems import STATUSES
from tests.docs.json_fields import json_fields

COMMANDS = Path(__file__).resolve().parents[2] / "docs" / "cli.md"
_HEAD = (
    "# Commands\n"
    "Made from the code by `python -m tests.docs`. `neuronetz-gateway COMMAND --help` has the options of each.\n"
    "Results go to stdout and remarks to stderr; with `--json`, stdout is JSON whose names do not change.\n"
)


def commands() -> str:
    """Every command with what it does, and the exit statuses."""
    panels = [f"## {panel}\n{_table(found)}" for panel, found in root._PANELS.items()]
    statuses = "\n".join(f"| {status} | {words} |" for status, words in STATUSES.items())
    names = f"## Names in JSON\n{json_fields()}"
    return "\n".join([_HEAD, *panels, names, f"## Exit statuses\n| status | means |\n|---|---|\n{statuses}\n"])


def _table(found: Sequence[click.Command]) -> str:
    rows = [f"| `{name}` | {_words(command)} |" for name, command in _named(found)]
    return "\n".join(["| command | what it does |", "|---|---|", *rows, ""])


def _named(found: Sequence[click.Command]) -> Iterator[tuple[str, click.Command]]:
    for command in found:
        yield str(command.name), command
        if isinstance(command, click.Group):
            yield from ((f"{command.name} {name}", inner) for name, inner in command.commands.items())


def _words(command: click.Command) -> str:
    return " ".join((command.help or "").split()).replace("|", "\\|")
