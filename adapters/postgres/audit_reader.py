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
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import msgspec
import psycopg

from adapters.postgres.audit_queries import (
    BEHIND,
    FIRST_PARTITION,
    HORIZON,
    NEWEST_FIRST,
    OLD_OR_SEEN,
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
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.audit_reader import AuditFilter, AuditNews, AuditPage, AuditPlace, AuditReader, SearchTooLong
from domain.ports.registers import Unknown

MOST_NEWS = 5_000
PAGE = 2_000
_SLICE = timedelta(minutes=10)
_NARROWEST_SLICE = timedelta(seconds=1)
_WIDEST_SLICE = timedelta(hours=3)
_PATIENCE_S = 60.0
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_FIRST_LOOK = timedelta(minutes=10)
_WIDER = 8

_Key = tuple[datetime, UUID, UUID, str]
"""What lines are ordered by."""


class _Place(msgspec.Struct, frozen=True):
    """A place, as it is written down."""

    before: str
    """The snapshot whose lines are known."""
    horizon: datetime
    """No line that is not known is older."""
    seen: str = ""
    """The snapshot that is being told of, if a part of it was told."""
    next_horizon: datetime = _NEVER
    last: _Key | None = None
    """The last line that was told of that snapshot."""

    def written(self) -> AuditPlace:
        return AuditPlace(msgspec.json.encode(self).decode())

    def conditions(self) -> Sequence[str]:
        return [SEEN, UNSEEN_BEFORE, *([BEHIND] if self.last else [])]

    def values(self) -> dict[str, Any]:
        return _behind(self.last) | {"before": self.before}


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

    def __init__(self, pool: Pool, *, most_news: int = MOST_NEWS, page: int = PAGE) -> None:
        self._pool = pool
        self._most_news = most_news
        self._page = page

    async def newest(self, wanted: AuditFilter, most: int) -> AuditNews:
        """See the port. Looks back in steps that grow, because nothing finds the last of many lines at once."""
        horizon = await self._horizon()
        async with _told_if_broken_off(), self._asked() as connection:
            search, snapshot = await _search(connection, wanted), await _one(connection, SNAPSHOT)
            floor = wanted.since or (await _one(connection, FIRST_PARTITION))["starts"] or snapshot["now"]
            found: list[Row] = []
            end, span = wanted.until or _NEVER, _FIRST_LOOK
            start = min(end, snapshot["now"]) - span
            while True:
                found += await search.lines(
                    connection, max(start, floor), end, OLD_OR_SEEN,
                    order=NEWEST_FIRST, horizon=horizon, seen=snapshot["snapshot"], most=most - len(found),
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
        """See the port. Each page is a transaction of its own: whoever writes the lines down may take his time, and a
        long transaction would keep vacuum from the ledger's tables. A page is looked for within a slice of time, narrow
        where there is much, because what is behind the page is sorted with it.
        """
        horizon = await self._horizon()
        async with self._asked() as connection:
            search, snapshot = await _search(connection, wanted), await _one(connection, SNAPSHOT)
            floor = (await _one(connection, FIRST_PARTITION))["starts"] or snapshot["now"]
        first = max(wanted.since or floor, floor)
        end = min(wanted.until or _NEVER, snapshot["now"] + _SLICE)
        start, span, last, begins = first, _SLICE, None, end
        while start < end:
            stop = min(start + span, end)
            async with self._asked() as connection:
                rows = await search.lines(
                    connection, start, stop, OLD_OR_SEEN, *([BEHIND] if last else []),
                    order=f"{OLDEST_FIRST} limit %(most)s",
                    horizon=horizon, seen=snapshot["snapshot"], most=self._page, **_behind(last),
                )  # fmt: skip
            if rows:
                begins = min(begins, rows[0]["at"])
            if len(rows) == self._page:
                start, span, last = rows[-1]["at"], max(span / 2, _NARROWEST_SLICE), _key(rows[-1])
            else:
                start, span, last = stop, min(2 * span, _WIDEST_SLICE), None
            # Counted from the first line: the days of a month before it were behind us at once.
            yield AuditPage(lines=lines_of(rows), passed=(start - begins) / (end - begins) if begins < end else 0.0)
        yield AuditPage(lines=[], passed=1.0)

    async def _horizon(self) -> datetime:
        # A transaction of its own: asked in that of the snapshot, one that ends in between would be in neither.
        async with self._asked() as connection:
            horizon: datetime = (await _one(connection, HORIZON))["horizon"]
            return horizon

    def _asked(self) -> AbstractAsyncContextManager[Connection]:
        return self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S)


@asynccontextmanager
async def _told_if_broken_off() -> AsyncIterator[None]:
    try:
        yield
    except StoreUnavailable as fault:
        if isinstance(fault.__cause__, psycopg.errors.QueryCanceled):
            raise SearchTooLong from fault
        raise


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


def _key(row: Row) -> _Key:
    return row["at"], row["tenant_id"], row["request_id"], row["event"]


def _behind(last: _Key | None) -> dict[str, Any]:
    names = ("last_at", "last_tenant", "last_request", "last_event")
    return dict(zip(names, last or (None,) * len(names), strict=True))
