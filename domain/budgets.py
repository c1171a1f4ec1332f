r"""Token budgets: the windows, the hold before a call, the settlement after it.

A hold is an upper bound on what the call can use, taken on every window of key and tenant at once before anything is
sent. It can be settled for less, never for more, so `used + held <= limit` holds in every committed state and
overspending is impossible rather than unlikely::

    open --settle--> closed           used += charge, held -= hold
      \--reap------> reaped --settle--> closed     the crashed call's hold was charged in full; a late
                                                    settlement may lower the charge, once

Days and months are UTC, by PostgreSQL's clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import attrs

from domain.limits import Scope, positive_or_none

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Where the one window of a total budget starts."""


class Window(StrEnum):
    """The spans a budget can have."""

    DAILY = "daily"
    MONTHLY = "monthly"
    TOTAL = "total"

    def start(self, now: datetime) -> datetime:
        """When the window that contains `now` began."""
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        match self:
            case Window.DAILY:
                return midnight
            case Window.MONTHLY:
                return midnight.replace(day=1)
            case Window.TOTAL:
                return EPOCH

    def end(self, now: datetime) -> datetime | None:
        """When it ends and a new one begins; None for the total, which never does."""
        start = self.start(now)
        match self:
            case Window.DAILY:
                return start + timedelta(days=1)
            case Window.MONTHLY:
                return (start + timedelta(days=31)).replace(day=1)
            case Window.TOTAL:
                return None


@attrs.frozen(kw_only=True)
class Budgets:
    """Token budgets of one tenant or one key; None means none is set here."""

    daily: int | None = attrs.field(default=None, validator=positive_or_none)
    monthly: int | None = attrs.field(default=None, validator=positive_or_none)
    total: int | None = attrs.field(default=None, validator=positive_or_none)

    def limit(self, window: Window) -> int | None:
        """The budget of one window."""
        match window:
            case Window.DAILY:
                return self.daily
            case Window.MONTHLY:
                return self.monthly
            case Window.TOTAL:
                return self.total


NO_BUDGETS = Budgets()


@attrs.frozen(kw_only=True)
class WindowUse:
    """What one window of one scope stands at. All amounts in tokens."""

    scope: Scope
    window: Window
    used: int
    held: int
    limit: int | None
    starts: datetime
    ends: datetime | None

    @property
    def left(self) -> int | None:
        """What can still be held; None when there is no limit. Never below zero: a limit may have been lowered."""
        return None if self.limit is None else max(0, self.limit - self.used - self.held)
