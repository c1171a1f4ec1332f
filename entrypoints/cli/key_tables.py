"""How keys are listed, for the commands that do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from domain.ports.registers import ApiKey
from entrypoints.cli.printing import Column, day, print_table, say
from entrypoints.cli.shapes import budgets_in_words, limits_in_words, state_of

_COLUMNS = [
    Column("Prefix", whole=True),
    Column("Name"),
    Column("State", whole=True),
    Column("Expires", whole=True),
    Column("Last used", whole=True),
    Column("Own limits"),
    Column("Own budgets"),
]


def print_keys(keys: Sequence[ApiKey], now: datetime) -> None:
    """A table of keys, or a sentence when there are none."""
    if not keys:
        say("It has no key yet. Make one: neuronetz-gateway create-key --tenant NAME --name KEY")
        return
    print_table(
        "Keys",
        _COLUMNS,
        [
            [
                key.prefix,
                key.name,
                str(state_of(key, now)),
                day(key.expires_at, none="never"),
                day(key.last_used_at, none="never"),
                limits_in_words(key.policy.limits),
                budgets_in_words(key.policy.budgets),
            ]
            for key in keys
        ],
    )
