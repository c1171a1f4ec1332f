"""The audit trace of what was not a held call: refusals, and looks at the catalogue."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import Protocol

import attrs


class Event(StrEnum):
    """What a noted request was. Written to the audit; never changes its meaning."""

    REFUSED = "refused"
    READ = "read"


@attrs.frozen(kw_only=True)
class Note:
    """One request that took no hold."""

    request_id: str
    event: Event = attrs.field(converter=Event)
    route: str
    """The route's constant, never the raw path of an unknown one."""
    address: str
    status: int
    code: str | None = None
    tenant_id: str | None = None
    key_id: str | None = None
    key_prefix: str | None = None
    model: str | None = None


class UsageJournal(Protocol):
    """Writes notes in batches, within 200 ms. When more come than it can hold, it says so and the gateway closes."""

    @abstractmethod
    def note(self, note: Note) -> None:
        """Hands over; returns at once. A flood of the same refusal from one network becomes counted rows."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether notes are being lost: the gateway must then stop being ready."""

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Waits until everything handed over is written, at most so long."""
