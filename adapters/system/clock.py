"""This host's clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from domain.ports.surroundings import Clock


class SystemClock(Clock):
    """The operating system's."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """Since some instant."""
        return time.monotonic()
