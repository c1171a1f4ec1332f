"""The seals over the audit: made by one gateway at a time, read by whoever checks them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

import attrs

from domain.seals import Row, RowName, Seal, SealedRows


class AlreadySealed(Exception):
    """Somebody else was first: there is a seal of that number."""


@attrs.frozen(kw_only=True)
class SealingState:
    """How far sealing may go now."""

    server: int
    complete_below: int
    """Every transaction with a smaller id has ended."""
    unborn_from: int
    """No transaction of this server has had this id yet: rows that do were restored from another one."""
    now: datetime
    """PostgreSQL's clock."""


@attrs.frozen(kw_only=True)
class SealLook:
    """What a gateway sees when it looks at the chain."""

    head: Seal | None
    """The last seal."""
    known: Seal | None
    """The one that was asked for by its number."""
    now: datetime
    unsealed_s: float | None
    """Age of the oldest row that is not sealed; None when there is none."""


class SealingTurn(Protocol):
    """One transaction in which nobody else seals."""

    head: Seal | None
    state: SealingState

    @abstractmethod
    async def rows(self, from_xid: int, to_xid: int, most: int | None, *, restored: bool) -> Sequence[Row]:
        """The rows of these transactions in the order in which they are sealed, at most so many.

        Args:
            from_xid: the first transaction.
            to_xid: the first one that is not wanted.
            most: rows; None for all.
            restored: of those that no transaction of this server can have written.
        """

    @abstractmethod
    async def append(self, seal: Seal, rows: SealedRows) -> None:
        """Writes it down; it counts when the turn ends well.

        Raises:
            AlreadySealed: it does not, because another one does.
        """


class AuditSeals(Protocol):
    """A gateway's side."""

    @abstractmethod
    async def look(self, known: int) -> SealLook:
        """How things are; `known` is the number of a seal to show besides.

        Raises:
            StoreUnavailable: it cannot be asked.
        """

    @abstractmethod
    def turn(self) -> AbstractAsyncContextManager[SealingTurn | None]:
        """A turn at sealing; None when somebody else has it.

        Raises:
            StoreUnavailable: at any time; then nothing of the turn counts, or all of it does.
        """


@attrs.frozen(kw_only=True)
class Dropped:
    """The last record of retention."""

    before: date
    """Months before this one are gone."""
    at: datetime
    actor: str | None
    login: str | None


@attrs.frozen(kw_only=True)
class Retained:
    """Which months there are, and which were given up."""

    months: Sequence[tuple[datetime, datetime]]
    """From, and to without."""
    dropped: Dropped | None

    def excuses(self, at: datetime) -> bool:
        """Whether a row of then is gone by a retention that is on record.

        Retention takes whole months, and never that in which it is asked for or the one before. A line that says
        otherwise is none of its, nor is a hole in a month that is there.
        """
        month = _month_of(at)
        following = _month_of(month + _A_MONTH_AT_LEAST)
        if self.dropped is None or month.date() >= self.dropped.before:
            return False
        if self.dropped.before >= _month_of(self.dropped.at).date():
            return False
        return not any(begins < following and ends > month for begins, ends in self.months)


_A_MONTH_AT_LEAST = timedelta(days=31)


def _month_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@attrs.frozen(kw_only=True)
class Unsealed:
    """What no seal covers yet."""

    count: int
    oldest: datetime | None


class SealedAudit(Protocol):
    """The side of whoever checks. Each question is a short transaction: checking takes long and holds up nobody.

    All raise `StoreUnavailable`.
    """

    @abstractmethod
    async def head(self) -> Seal | None:
        """The last seal."""

    @abstractmethod
    async def seals(self, after: int, most: int) -> Sequence[Seal]:
        """So many seals behind that number, in order."""

    @abstractmethod
    async def sealed_rows(self, numbers: Sequence[int]) -> Mapping[int, SealedRows]:
        """What these seals say of their rows; those that are gone are left out."""

    @abstractmethod
    def rows(self, from_xid: int, to_xid: int) -> AsyncIterator[Sequence[Row]]:
        """The rows of these transactions in the order in which they are sealed, in pages."""

    @abstractmethod
    async def outside(self, most: int) -> Sequence[Row]:
        """So many rows that no span can have: without a transaction, or of one that will never be."""

    @abstractmethod
    async def covering(self, from_xid: int, to_xid: int, *, but: Sequence[int]) -> Sequence[Seal]:
        """Other seals over these transactions: those from before and after a restore on another server overlap."""

    @abstractmethod
    async def present(self, names: Sequence[RowName]) -> Sequence[RowName]:
        """Those of these rows that are there, in whichever transaction."""

    @abstractmethod
    async def state(self) -> SealingState:
        """How far transactions have come."""

    @abstractmethod
    async def retained(self) -> Retained:
        """What retention did."""

    @abstractmethod
    async def unsealed(self, from_xid: int, to_xid: int) -> Unsealed:
        """How many rows these transactions have, and since when."""
