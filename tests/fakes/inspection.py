"""Stores that are as healthy, or as ill, as a test says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs

from domain.faults import FaultCode, StoreUnavailable
from domain.ports.inspection import (
    BookFacts,
    ClockReading,
    DatabaseFacts,
    DatabaseInspection,
    GatewaySign,
    LimiterFacts,
    LimiterInspection,
)

_CLOCK = ClockReading(at=datetime(2027, 1, 15, 8, tzinfo=UTC), ahead_s=0.01)

HEALTHY_BOOKS = BookFacts(
    partitions_ahead=2,
    gateways=[GatewaySign(id="g1", host="one", silent_s=3.0)],
    oldest_hold_s=None,
    reaped=0,
    timed_out={},
    unsealed_s=None,
    prompt_log_keys=None,
)
HEALTHY_DATABASE = DatabaseFacts(
    version="18.1",
    version_number=180001,
    writable=True,
    fsync=True,
    synchronous_commit="on",
    clock=_CLOCK,
    most_connections=97,
    connections=9,
    revision="0004",
    newest_revision="0004",
    commits_ms=(1.0, 1.2, 0.9),
    books=HEALTHY_BOOKS,
)
HEALTHY_LIMITER = LimiterFacts(
    name="Valkey",
    version="9.0.1",
    clock=_CLOCK,
    eviction="noeviction",
    role="master",
    used_bytes=1_000_000,
    most_bytes=0,
    saves=True,
    pings_ms=(0.1,) * 20,
)


@attrs.define
class FakeDatabaseInspection(DatabaseInspection):
    facts: DatabaseFacts = HEALTHY_DATABASE
    away: str | None = None

    async def look(self) -> DatabaseFacts:
        if self.away is not None:
            raise StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, self.away)
        return self.facts

    def ill(self, **changes: Any) -> None:
        self.facts = attrs.evolve(self.facts, **changes)

    def books(self, **changes: Any) -> None:
        self.facts = attrs.evolve(self.facts, books=attrs.evolve(HEALTHY_BOOKS, **changes))


@attrs.define
class FakeLimiterInspection(LimiterInspection):
    facts: LimiterFacts = HEALTHY_LIMITER
    away: str | None = None

    async def look(self) -> LimiterFacts:
        if self.away is not None:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, self.away)
        return self.facts

    def ill(self, **changes: Any) -> None:
        self.facts = attrs.evolve(self.facts, **changes)
