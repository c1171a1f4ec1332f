"""How budget windows are shown: numbers, and on a terminal a bar.

██████████▒▒▒······   used, held by running calls, left
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.text import Text

from domain.budgets import WindowUse
from entrypoints.cli.printing import Column, day, number, print_table

_WIDTH = 10
_COLUMNS = [
    Column("Scope", whole=True),
    Column("Window", whole=True),
    Column("Used", "right"),
    Column("Held", "right"),
    Column("Left", "right"),
    Column("Limit", "right"),
    Column("", picture=True, whole=True),
    Column("Ends (UTC)", whole=True),
]


def print_windows(title: str, windows: Sequence[WindowUse]) -> None:
    """A table of budget windows, amounts in tokens."""
    print_table(
        title,
        _COLUMNS,
        [
            [
                str(use.scope),
                str(use.window),
                number(use.used),
                number(use.held),
                number(use.left, none="no limit"),
                number(use.limit, none="no limit"),
                bar(use),
                day(use.ends, none="never"),
            ]
            for use in windows
        ],
    )


def bar(use: WindowUse) -> Text:
    """The window as a picture; empty when it has no limit. What is there at all shows at least one mark."""
    if use.limit is None:
        return Text("")
    left = _marks(use.left or 0, use.limit)
    held = min(_marks(use.held, use.limit), _WIDTH - left)
    used = _WIDTH - left - held
    marks = ("█", "▒", "·") if "utf" in (sys.stdout.encoding or "").lower() else ("#", "+", ".")
    nearly = use.used + use.held >= use.limit * 9 // 10
    return Text.assemble(
        (marks[0] * used, "red" if nearly else "green"), (marks[1] * held, "yellow"), (marks[2] * left, "dim")
    )


def _marks(amount: int, limit: int) -> int:
    return min(_WIDTH, max(amount * _WIDTH // limit, 1 if amount > 0 else 0))
