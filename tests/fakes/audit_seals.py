"""The audit and its seals in memory: transactions are numbers, and whatever was added has ended unless it is held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

import attrs

from domain.ports.audit_seals import (
    AlreadySealed,
    AuditSeals,
    Retained,
    SealedAudit,
    SealingState,
    SealingTurn,
    SealLook,
    Unsealed,
)
from domain.seals import COLUMNS, MOST_XID, Row, RowName, Seal, SealedRows


@attrs.define
class MemoryAudit:
    """The database of both sides."""

    rows: list[Row] = attrs.field(factory=list)
    seals: list[Seal] = attrs.field(factory=list)
    sealed_rows: dict[int, SealedRows] = attrs.field(factory=dict)
    server: int = 1
    next_xid: int = 100
    held_xid: int | None = None
    """Of a transaction that does not end."""
    now: datetime = datetime(2027, 1, 1, tzinfo=UTC)
    retained: Retained = attrs.field(factory=lambda: Retained(months=(), dropped=None))
    turn_taken: bool = False
    looked_at: int = 0
    """Rows that were within the widths that sealers asked for."""

    def write(self, count: int = 1, *, xid: int | None = None) -> None:
        """So many rows in one transaction: the next, or one of another server's."""
        number = self.next_xid if xid is None else xid
        self.next_xid += xid is None
        at_us = str(int(self.now.timestamp() * 1_000_000))
        for _ in range(count):
            name = (at_us, str(UUID(int=0)), str(uuid4()), "started")
            self.rows.append((*name, *(None for _ in COLUMNS[4:-1]), str(number)))

    @property
    def state(self) -> SealingState:
        return SealingState(
            server=self.server,
            complete_below=self.next_xid if self.held_xid is None else self.held_xid,
            unborn_from=self.next_xid,
            now=self.now,
        )

    @property
    def head(self) -> Seal | None:
        return self.seals[-1] if self.seals else None

    def between(self, from_xid: int, to_xid: int) -> list[Row]:
        found = [row for row in self.rows if from_xid <= _xid(row) < to_xid]
        return sorted(found, key=lambda row: (_xid(row), RowName.of(row).at_us, row[1], row[2], row[3]))


@attrs.define
class _Turn(SealingTurn):
    _audit: MemoryAudit
    head: Seal | None
    state: SealingState

    async def rows(self, from_xid: int, to_xid: int, most: int | None, *, restored: bool) -> Sequence[Row]:
        least = self._audit.next_xid if restored else from_xid
        found = self._audit.between(max(from_xid, least), to_xid)
        self._audit.looked_at += len(found)
        return found[:most]

    async def append(self, seal: Seal, rows: SealedRows) -> None:
        if any(other.n == seal.n for other in self._audit.seals):
            raise AlreadySealed
        self._audit.seals.append(seal)
        self._audit.sealed_rows[seal.n] = SealedRows.unpacked(*rows.packed())


@attrs.define
class MemoryAuditSeals(AuditSeals):
    audit: MemoryAudit

    async def look(self, known: int) -> SealLook:
        seals = [seal for seal in self.audit.seals if seal.n == known]
        head, state = self.audit.head, self.audit.state
        rows = self.audit.between(0 if head is None else head.to_xid, state.unborn_from)
        age = None if not rows else (state.now - min(map(RowName.of, rows)).at).total_seconds()
        return SealLook(head=head, known=seals[0] if seals else None, now=state.now, unsealed_s=age)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[SealingTurn | None]:
        if self.audit.turn_taken:
            yield None
            return
        self.audit.turn_taken = True
        try:
            yield _Turn(self.audit, self.audit.head, self.audit.state)
        finally:
            self.audit.turn_taken = False


@attrs.define
class MemorySealedAudit(SealedAudit):
    audit: MemoryAudit

    async def head(self) -> Seal | None:
        return self.audit.head

    async def seals(self, after: int, most: int) -> Sequence[Seal]:
        return sorted((seal for seal in self.audit.seals if seal.n > after), key=lambda seal: seal.n)[:most]

    async def sealed_rows(self, numbers: Sequence[int]) -> Mapping[int, SealedRows]:
        return {n: rows for n, rows in self.audit.sealed_rows.items() if n in numbers}

    async def rows(self, from_xid: int, to_xid: int) -> AsyncIterator[Sequence[Row]]:
        yield self.audit.between(from_xid, to_xid)

    async def outside(self, most: int) -> Sequence[Row]:
        return [row for row in self.audit.rows if row[-1] is None or _xid(row) >= MOST_XID][:most]

    async def covering(self, from_xid: int, to_xid: int, *, but: Sequence[int]) -> Sequence[Seal]:
        return [s for s in self.audit.seals if s.from_xid < to_xid and s.to_xid > from_xid and s.n not in but]

    async def present(self, names: Sequence[RowName]) -> Sequence[RowName]:
        there = set(map(RowName.of, self.audit.rows))
        return [name for name in names if name in there]

    async def state(self) -> SealingState:
        return self.audit.state

    async def retained(self) -> Retained:
        return self.audit.retained

    async def unsealed(self, from_xid: int, to_xid: int) -> Unsealed:
        rows = self.audit.between(from_xid, to_xid)
        return Unsealed(count=len(rows), oldest=min(map(RowName.of, rows)).at if rows else None)


def _xid(row: Row) -> int:
    return int(row[-1] or 0)
