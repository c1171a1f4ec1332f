"""All variables as documentation shows them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from entrypoints.embedded.binaries import POSTGRES_BIN_VARIABLE, VALKEY_BIN_VARIABLE
from entrypoints.embedded.state_dir import STATE_HOME_VARIABLE
from entrypoints.settings import Settings
from entrypoints.settings_reading import as_text


@attrs.frozen(kw_only=True)
class SettingRow:
    """One setting."""

    name: str
    default: str = ""
    """As it would stand in the environment; empty when there is none."""
    meaning: str
    """In words, with the unit."""


def settings_table() -> Sequence[SettingRow]:
    """Every setting in the order of `.env.example`."""
    return [
        SettingRow(name=field.name.upper(), default=as_text(field.default), meaning=field.metadata["meaning"])
        for field in attrs.fields(Settings)
    ]


def quickstart_table() -> Sequence[SettingRow]:
    """What says where the stores of a quickstart are; read from the environment only, by no `.env` file."""
    return [
        SettingRow(
            name=POSTGRES_BIN_VARIABLE, meaning="directory of another PostgreSQL's programs, `postgres` and `initdb`"
        ),
        SettingRow(name=VALKEY_BIN_VARIABLE, meaning="another `valkey-server` or `redis-server`, with its path"),
        SettingRow(
            name=STATE_HOME_VARIABLE,
            meaning="directory that neuronetz-gateway/, the state, is kept in; when not set, /var/lib for root and "
            "~/.local/state for others",
        ),
    ]
