"""The audit, read: its newest lines, what comes from now on, and everything there is. Nothing here changes it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NewType, Protocol

import attrs

EVENTS = ("started", "finished", "reaped", "corrected", "refused", "read", "admin")
"""What a line can be of, in the order of a call's life; never changes its meaning."""

AuditPlace = NewType("AuditPlace", str)
"""How far somebody has followed the audit. Only the reader that made it can read it."""


@attrs.frozen(kw_only=True)
class AuditFilter:
    """Which lines are wanted; None wants all."""

    tenant_name: str | None = None
    key_prefix: str | None = None
    event: str | None = None
    outcome: str | None = None
    """An outcome or a code: refusals have a code alone."""
    request_id: str | None = None
    """32 hex digits."""
    since: datetime | None = None
    until: datetime | None = None
    """The first instant that is not wanted any more."""


@attrs.frozen(kw_only=True)
class AuditLine:
    """One line. What does not apply is None."""

    at: datetime
    event: str
    request_id: str
    tenant_id: str | None = None
    tenant_name: str | None = None
    key_prefix: str | None = None
    route: str | None = None
    model: str | None = None
    backend: str | None = None
    address: str | None = None
    """The client's network address."""
    outcome: str | None = None
    status: int | None = None
    code: str | None = None
    prompt_tokens: int | None = None
    """Of a start: the bound. Of an end: charged. Of a correction: what changed, zero or less."""
    output_tokens: int | None = None
    held_tokens: int | None = None
    overshoot_tokens: int | None = None
    bytes_out: int | None = None
    queued_ms: int | None = None
    first_byte_ms: int | None = None
    duration_ms: int | None = None
    count: int = 1
    """How many equal refusals the line stands for."""
    actor: str | None = None
    detail: Mapping[str, Any] | None = None
    """Of an operator's change: which, and what was before and after."""


@attrs.frozen(kw_only=True)
class AuditNews:
    """Some lines in the order of time, and the place behind them."""

    lines: Sequence[AuditLine]
    place: AuditPlace
    more: bool = False
    """Whether there are more already: ask again at once."""


@attrs.frozen(kw_only=True)
class AuditPage:
    """A part of everything."""

    lines: Sequence[AuditLine]
    passed: float
    """How much of the span of time is behind it, 0 to 1."""


class SearchTooLong(Exception):
    """A search through more lines than there is patience for."""

    def __init__(self) -> None:
        super().__init__("PostgreSQL broke the search off, because it took too long.")


class AuditReader(Protocol):
    """Reads the audit for the operator. `Unknown` is raised for a tenant that is not there."""

    @abstractmethod
    async def newest(self, wanted: AuditFilter, most: int) -> AuditNews:
        """The last lines, at most so many, the newest last.

        Raises:
            StoreUnavailable: it cannot be asked.
            SearchTooLong: of all time that is wanted; some of it may do.
        """

    @abstractmethod
    async def follow(self, wanted: AuditFilter, after: AuditPlace) -> AuditNews:
        """What was committed since that place. Nothing is missed and nothing comes twice, however long the
        transactions took and in whichever order they ended; a line of a long one comes late, behind younger lines.

        Raises:
            StoreUnavailable: not now; the place stays good.
        """

    @abstractmethod
    def everything(self, wanted: AuditFilter) -> AsyncIterator[AuditPage]:
        """All lines that were committed before the first page, in the order of time, in memory that does not grow.

        Raises:
            StoreUnavailable: it broke off.
        """
