"""The variables that the gateway reads."""

from __future__ import annotations

import attrs

from entrypoints.settings import Settings


def settings_named() -> set[str]:
    """All of them, as they stand in the environment."""
    return {field.name.upper() for field in attrs.fields(Settings)}
