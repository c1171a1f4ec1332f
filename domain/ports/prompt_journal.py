"""Where kept prompts lie, sealed: written and purged by gateways, read by the operator.

The clock of this store decides what has expired. Its text is unreadable by itself: see `domain.ports.hour_keys`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from domain.prompts import Listed, SealedExchange


class NotKept(LookupError):
    """There is no such entry: it never was, or it has expired."""


class Unwritable(ValueError):
    """The store will never take this batch; it must not be tried again."""


class PromptJournal(Protocol):
    """A gateway's side: it writes, and sees to it that what is past goes."""

    @abstractmethod
    async def now(self) -> datetime:
        """The store's clock, aware UTC.

        Raises:
            StoreUnavailable: it cannot be known now.
        """

    @abstractmethod
    async def write(self, entries: Sequence[SealedExchange], *, lost: Mapping[str, int]) -> None:
        """Writes entries and, into the audit, how many were lost by each tenant (by its id); all or nothing.

        Writing an entry again changes nothing. One that has expired is left out.

        Raises:
            StoreUnavailable: it may or may not have been written.
            Unwritable: it never will be.
        """

    @abstractmethod
    async def purge(self) -> Sequence[str]:
        """Drops the days that are over, and tells the hour keys whose hour is: they must be destroyed now.

        They are told again until they are `forgotten`. When another gateway is at it, nothing is done or told.
        """

    @abstractmethod
    async def forget_keys(self, key_ids: Sequence[str]) -> None:
        """Told that these hour keys are destroyed, it mentions them no more."""


class KeptPrompts(Protocol):
    """The operator's side. Whoever looks is on record before anything is shown; `actor` says who."""

    @abstractmethod
    async def entries(
        self, tenant_name: str, *, key_prefix: str | None, since: datetime | None, most: int, actor: str
    ) -> Sequence[Listed]:
        """What is kept of a tenant, or of one of its keys, newest first; never what has expired.

        Raises:
            Unknown: there is no such tenant, or it has no such key.
        """

    @abstractmethod
    async def entry(self, request_id: str, *, actor: str) -> SealedExchange:
        """One.

        Raises:
            NotKept: it is not there, or its time is over, were it by a second.
        """
