"""What was used, summed up: by time, by tenant, and in this very minute."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import attrs

MOST_SPANS = 1_000
"""How many spans one question may have."""


class Span(StrEnum):
    """How long the parts are that time is cut into; UTC."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


@attrs.frozen(kw_only=True)
class SpanUse:
    """What was used in one span of time. Calls count where they begin, tokens where they are charged."""

    starts: datetime
    calls: int
    prompt_tokens: int
    output_tokens: int
    refused: int


@attrs.frozen(kw_only=True)
class TenantUse:
    """Where one tenant stands today and this month, in tokens."""

    tenant_name: str
    state: str
    today: int
    daily: int | None
    """The budget of a day; None when none is set."""
    this_month: int
    monthly: int | None
    held: int


@attrs.frozen(kw_only=True)
class Flow:
    """Calls begun, calls refused and tokens charged within some seconds."""

    calls: int
    refused: int
    tokens: int


@attrs.frozen(kw_only=True)
class TenantFlow:
    """What one tenant does now."""

    tenant_name: str
    in_flight: int
    """Holds that are open."""
    minute: Flow
    today: int
    """Tokens used and held today."""
    daily: int | None


@attrs.frozen(kw_only=True)
class BackendFlow:
    """What one backend did of late, by the calls that have ended."""

    backend: str
    ten_seconds: int
    """Tokens charged in the last 10 s."""
    minute: int
    """The same of the last 60 s."""


@attrs.frozen(kw_only=True)
class Activity:
    """This very minute, over all gateways."""

    at: datetime
    gateways: int
    """Processes that gave a sign of life of late."""
    in_flight: int
    oldest_s: float | None
    """How long the oldest call in flight has been running."""
    ten_seconds: Flow
    minute: Flow
    tenants: Sequence[TenantFlow]
    """Those that do anything, the busiest first."""
    backends: Sequence[BackendFlow]


class TooManySpans(ValueError):
    """A question over more spans than anybody reads."""

    def __init__(self, spans: int) -> None:
        super().__init__(f"These are {spans:,} parts, and {MOST_SPANS:,} are the most.")


class UsageReader(Protocol):
    """Sums up the ledger and the audit for the operator."""

    @abstractmethod
    async def by_time(
        self,
        tenant_name: str,
        *,
        by: Span,
        since: datetime,
        until: datetime | None = None,
        key_prefix: str | None = None,
    ) -> Sequence[SpanUse]:
        """Every span from the one that holds `since` on, to the present or `until`, the empty ones too.

        Raises:
            Unknown: the tenant, or the key at this tenant.
            TooManySpans: these are more than MOST_SPANS.
        """

    @abstractmethod
    async def by_tenant(self, most: int) -> Sequence[TenantUse]:
        """At most so many tenants, by what they used this month, the most first."""

    @abstractmethod
    async def activity(self, *, alive_within_s: float, most_tenants: int) -> Activity:
        """What happens now. Cheap enough to be asked every second."""
