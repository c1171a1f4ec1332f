"""How the stores are doing, as facts. What to think of them is decided in `application/examine_*`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from domain.ports.wedge_board import Runner


@attrs.frozen(kw_only=True)
class ClockReading:
    """A store's time, and how far this host's is ahead of it, as exactly as the round trip allows."""

    at: datetime
    ahead_s: float


@attrs.frozen(kw_only=True)
class GatewaySign:
    """One gateway process and its last sign of life."""

    id: str
    host: str
    silent_s: float


@attrs.frozen(kw_only=True)
class BookFacts:
    """What our own tables say."""

    partitions_ahead: int
    """Months after this one that the audit has room for; -1 when this month has none."""
    gateways: Sequence[GatewaySign]
    oldest_hold_s: float | None
    """How long the oldest open hold has been open."""
    reaped: int
    """Holds closed for processes that died, in the last 24 h."""
    timed_out: Mapping[str, int]
    """Calls of the last hour that a backend let wait for their first byte past the deadline."""
    unsealed_s: float | None
    """Age of the oldest row of the audit that no seal covers; None when there is none, or no seal at all."""
    prompt_log_keys: int | None
    """Keys whose prompts are kept; None when this schema cannot keep any."""


@attrs.frozen(kw_only=True)
class DatabaseFacts:
    """How PostgreSQL is doing."""

    version: str
    version_number: int
    """As 150004."""
    writable: bool
    fsync: bool
    synchronous_commit: str
    clock: ClockReading
    most_connections: int
    """Those kept for superusers left out."""
    connections: int
    revision: str | None
    """Of the migrations; None when there was none yet."""
    newest_revision: str
    """That this program knows."""
    commits_ms: Sequence[float]
    """How long some empty commits took; empty when it is not writable."""
    books: BookFacts | None
    """None before the first migration."""


@attrs.frozen(kw_only=True)
class LimiterFacts:
    """How Redis or Valkey is doing."""

    name: str
    version: str
    clock: ClockReading
    eviction: str
    """The name of its policy."""
    role: str
    used_bytes: int
    most_bytes: int
    """Zero when it has no bound of its own."""
    saves: bool
    """Whether it keeps an append-only file, or has ever saved."""
    pings_ms: Sequence[float]
    wedged: Sequence[Runner] = ()
    """What gateways have found to answer no call any more."""


class DatabaseInspection(Protocol):
    """Looks at PostgreSQL."""

    @abstractmethod
    async def look(self) -> DatabaseFacts:
        """The facts now.

        Raises:
            StoreUnavailable: it cannot be asked; says why as far as it is known.
        """


class LimiterInspection(Protocol):
    """Looks at the limit store."""

    @abstractmethod
    async def look(self) -> LimiterFacts:
        """The facts now.

        Raises:
            StoreUnavailable: it cannot be asked; says why as far as it is known.
        """
