"""Reads the audit without a cursor of its own in the database.

Lines are written by many transactions at once, which do not end in the order of their lines' times. So a place is not
a time but a snapshot: it names the transactions that were over when it was taken. What is visible now and was not
then is new, exactly, and nothing has to be waited for::

    snapshot then:  10 11 12 .. 14 ..     (13 and 15 still run)
    snapshot now:   10 11 12 13 14 ..     -> the lines of 13

That a line is looked for at all still takes a bound in time: none is older than the oldest transaction that ran at
the place before (`HORIZON`). Much news comes in parts; a place then also says which two snapshots it is between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import msgspec

from adapters.postgres.audit_queries import (
    BEHIND,
    FIRST_PARTITION,
    HORIZON,
    NEWEST_FIRST,
    OLDEST_FIRST,
    SEEN,
    SNAPSHOT,
    UNSEEN_BEFORE,
    lines_of,
    lines_where,
    values_of,
)
from adapters.postgres.pool import Connection, Pool
from adapters.postgres.rows import Row
from domain.faults import FaultCode
from domain.ports.audit_reader import AuditFilter, AuditLine, AuditNews, AuditPage, AuditPlace, AuditReader
from domain.ports.registers import Unknown

MOST_NEWS = 5_000
_PAGE = 2_000
_SLICE = timedelta(hours=1)
_WIDEST_SLICE = timedelta(days=1)
_PATIENCE_S = 60.0
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST_LOOK = timedelta(minutes=10)
_WIDER = 8


class _Place(msgspec.Struct, frozen=True):
    """A place, as it is written down."""

    before: str
    """The snapshot whose lines are known."""
    horizon: datetime
    """No line that is not known is older."""
    seen: str = ""
    """The snapshot that is being told of, if a part of it was told."""
    next_horizon: datetime = _NEVER
    last: tuple[datetime, UUID, UUID, str] | None = None
    """The last line that was told of that snapshot."""

    def written(self) -> AuditPlace:
        return AuditPlace(msgspec.json.encode(self).decode())

    def conditions(self) -> Sequence[str]:
        return [SEEN, UNSEEN_BEFORE, *([BEHIND] if self.last else [])]

    def values(self) -> dict[str, Any]:
        names = ("last_at", "last_tenant", "last_request", "last_event")
        return dict(zip(names, self.last or (None,) * len(names), strict=True)) | {"before": self.before}


@attrs.frozen
class _Search:
    """A filter, ready for queries."""

    filters: dict[str, Any]

    async def lines(
        self, connection: Connection, start: datetime, end: datetime, *conditions: str, order: str, **values: Any
    ) -> list[Row]:
        query = lines_where(self.filters, *conditions, order=order)
        cursor = await connection.execute(query, {**self.filters, **values, "from": start, "to": end})
        return await cursor.fetchall()


class PostgresAuditReader(AuditReader):
    """Reads on the pool's connections, one question at a time."""

    def __init__(self, pool: Pool, *, most_news: int = MOST_NEWS) -> None:
        self._pool = pool
        self._most_news = most_news

    async def newest(self, wanted: AuditFilter, most: int) -> AuditNews:
        """See the port. Looks back in steps that grow, because nothing finds the last of many lines at once."""
        horizon = await self._horizon()
        async with self._asked() as connection:
            search, snapshot = await _search(connection, wanted), await _one(connection, SNAPSHOT)
            floor = wanted.since or (await _one(connection, FIRST_PARTITION))["starts"] or snapshot["now"]
            found: list[Row] = []
            end, span = wanted.until or _NEVER, _FIRST_LOOK
            start = min(end, snapshot["now"]) - span
            while True:
                found += await search.lines(
                    connection, max(start, floor), end, SEEN,
                    order=NEWEST_FIRST, seen=snapshot["snapshot"], most=most - len(found),
                )  # fmt: skip
                if len(found) == most or start <= floor:
                    break
                span *= _WIDER
                end, start = start, max(start - span, floor)
        return AuditNews(lines=lines_of(found[::-1]), place=_Place(snapshot["snapshot"], horizon).written())

    async def follow(self, wanted: AuditFilter, after: AuditPlace) -> AuditNews:
        """See the port."""
        place = msgspec.json.decode(after, type=_Place)
        next_horizon = await self._horizon()
        async with self._asked() as connection:
            search = await _search(connection, wanted)
            if not place.seen:
                snapshot = await _one(connection, SNAPSHOT)
                place = msgspec.structs.replace(place, seen=snapshot["snapshot"], next_horizon=next_horizon)
            rows = await search.lines(
                connection, place.horizon, _NEVER, *place.conditions(),
                order=f"{OLDEST_FIRST} limit %(most)s", seen=place.seen, most=self._most_news, **place.values(),
            )  # fmt: skip
        more = len(rows) == self._most_news
        behind = msgspec.structs.replace(place, last=_key(rows[-1])) if more else _Place(place.seen, place.next_horizon)
        return AuditNews(lines=lines_of(rows), place=behind.written(), more=more)

    async def everything(self, wanted: AuditFilter) -> AsyncIterator[AuditPage]:
        """See the port. Hour by hour, or more where there is little, each a transaction of its own: a long one would
        keep vacuum from the ledger's tables.
        """
        async with self._asked() as connection:
            search, snapshot = await _search(connection, wanted), await _one(connection, SNAPSHOT)
            floor = (await _one(connection, FIRST_PARTITION))["starts"] or snapshot["now"]
        first = max(wanted.since or floor, floor)
        end = min(wanted.until or _NEVER, snapshot["now"] + _SLICE)
        start, span = first, _SLICE
        while start < end:
            stop, found = min(start + span, end), 0
            async for lines in self._slice(search, start, stop, snapshot["snapshot"]):
                found += len(lines)
                yield AuditPage(lines=lines, passed=(stop - first) / (end - first))
            start, span = stop, min(2 * span, _WIDEST_SLICE) if found < _PAGE else _SLICE
        yield AuditPage(lines=[], passed=1.0)

    async def _slice(
        self, search: _Search, start: datetime, stop: datetime, seen: str
    ) -> AsyncIterator[Sequence[AuditLine]]:
        query = lines_where(search.filters, SEEN, order=OLDEST_FIRST)
        async with self._asked() as connection, connection.cursor(name="audit") as cursor:
            await cursor.execute(query, {**search.filters, "from": start, "to": stop, "seen": seen})
            while rows := await cursor.fetchmany(_PAGE):
                yield lines_of(rows)

    async def _horizon(self) -> datetime:
        # A transaction of its own: asked in that of the snapshot, one that ends in between would be in neither.
        async with self._asked() as connection:
            horizon: datetime = (await _one(connection, HORIZON))["horizon"]
            return horizon

    def _asked(self) -> AbstractAsyncContextManager[Connection]:
        return self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S)


async def _one(connection: Connection, query: str) -> Row:
    row = await (await connection.execute(query)).fetchone()
    return row or {}


async def _search(connection: Connection, wanted: AuditFilter) -> _Search:
    if wanted.tenant_name is None:
        return _Search(values_of(wanted, None))
    cursor = await connection.execute("select id from neuronetz.tenants where name = %s", (wanted.tenant_name,))
    row = await cursor.fetchone()
    if row is None:
        raise Unknown(f"There is no tenant `{wanted.tenant_name}`.")
    return _Search(values_of(wanted, row["id"]))


def _key(row: Row) -> tuple[datetime, UUID, UUID, str]:
    return row["at"], row["tenant_id"], row["request_id"], row["event"]
