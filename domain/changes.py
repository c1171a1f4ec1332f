"""What can happen to a tenant or key while its calls run."""

from __future__ import annotations

from enum import StrEnum


class Change(StrEnum):
    """The change that every gateway process is told of, with the new generation."""

    CHANGED = "changed"
    """Anything else: copies are out of date, and calls in flight go on."""
    REVOKED = "revoked"
    SUSPENDED = "suspended"
