"""The side of whoever checks the audit against its seals: short questions, one transaction each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg.rows import tuple_row

from adapters.postgres.pool import Connection, Pool
from adapters.postgres.rows import Row as DictRow
from adapters.postgres.seal_queries import IN_ORDER, OUTSIDE, ROWS, SEALS, WITHIN, head_of, one, state_of
from domain.faults import FaultCode
from domain.ports.audit_seals import Dropped, Retained, SealedAudit, SealingState, Unsealed
from domain.seals import MOST_XID, Row, RowName, Seal, SealedRows

_PATIENCE_S = 30.0
_PAGE = 5_000

_BEHIND = """
    and (a.xid::text::bigint, a.at, a.tenant_id, a.request_id, a.event collate "C")
        > (%(xid)s, 'epoch'::timestamptz + %(at_us)s * interval '1 microsecond', %(tenant)s::uuid, %(request)s::uuid,
            %(event)s collate "C")
"""
_PRESENT = """
    select (extract(epoch from a.at) * 1000000)::bigint::text, a.tenant_id::text, a.request_id::text, a.event
    from unnest(%(at)s::timestamptz[], %(tenants)s::uuid[], %(requests)s::uuid[], %(events)s::text[])
        as n (at, tenant_id, request_id, event)
    join neuronetz.audit a on a.tenant_id = n.tenant_id and a.at = n.at and a.request_id = n.request_id
        and a.event = n.event
"""
_MONTHS = """
    select coalesce((regexp_match(b.bound, $$FROM \\('([^']+)'\\)$$))[1], '0001-01-02 UTC')::timestamptz as begins,
        coalesce((regexp_match(b.bound, $$TO \\('([^']+)'\\)$$))[1], '9999-12-30 UTC')::timestamptz as ends
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    cross join lateral (select pg_get_expr(c.relpartbound, c.oid) as bound) b
    where i.inhparent = 'neuronetz.audit'::regclass and b.bound <> 'DEFAULT'
"""
_DROPPED = """
    select (a.detail->'after'->>'before')::date as before, a.at, a.actor, a.detail->>'login' as login
    from neuronetz.audit a
    where a.tenant_id = '00000000-0000-0000-0000-000000000000' and a.event = 'admin'
        and a.detail->>'change' = 'drop_audit'
    order by 1 desc, a.at desc limit 1
"""
_UNSEALED = """
    select count(*) as count, min(a.at) as oldest
    from neuronetz.audit a
    where a.xid::text::bigint >= %(from_xid)s and a.xid::text::bigint < %(to_xid)s
"""


class PostgresSealedAudit(SealedAudit):
    """Works on the pool of a command."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def head(self) -> Seal | None:
        """See the port."""
        async with self._asked() as connection:
            return await head_of(connection)

    async def seals(self, after: int, most: int) -> Sequence[Seal]:
        """See the port."""
        query = f"{SEALS} where s.n > %(after)s order by s.n limit %(most)s"
        return [Seal(**row) for row in await self._all(query, after=after, most=most)]

    async def sealed_rows(self, numbers: Sequence[int]) -> Mapping[int, SealedRows]:
        """See the port."""
        query = "select r.n, r.names, r.leaves from neuronetz.seal_rows r where r.n = any (%(numbers)s)"
        found = await self._all(query, numbers=list(numbers))
        return {row["n"]: SealedRows.unpacked(row["names"], row["leaves"]) for row in found}

    async def rows(self, from_xid: int, to_xid: int) -> AsyncIterator[Sequence[Row]]:
        """See the port."""
        last: dict[str, Any] | None = None
        while True:
            query = f"{ROWS} {WITHIN} {_BEHIND if last else ''} {IN_ORDER} limit %(most)s"
            start = last["xid"] if last else from_xid
            async with self._asked() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                values = {"from_xid": start, "to_xid": to_xid, "most": _PAGE, **(last or {})}
                await cursor.execute(query, values)
                page = await cursor.fetchall()
            yield page
            if len(page) < _PAGE:
                return
            at_us, tenant, request, event, *_, xid = page[-1]
            last = {"at_us": int(at_us), "tenant": tenant, "request": request, "event": event, "xid": int(xid)}

    async def outside(self, most: int) -> Sequence[Row]:
        """See the port."""
        async with self._asked() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(f"{ROWS} {OUTSIDE} limit %(most)s", {"end": MOST_XID, "most": most})
            return await cursor.fetchall()

    async def covering(self, from_xid: int, to_xid: int, *, but: Sequence[int]) -> Sequence[Seal]:
        """See the port."""
        query = f"{SEALS} where s.from_xid < %(to_xid)s and s.to_xid > %(from_xid)s and s.n <> all (%(but)s)"
        return [Seal(**row) for row in await self._all(query, from_xid=from_xid, to_xid=to_xid, but=list(but))]

    async def present(self, names: Sequence[RowName]) -> Sequence[RowName]:
        """See the port."""
        columns = {
            "at": [name.at for name in names],
            "tenants": [name.tenant for name in names],
            "requests": [name.request for name in names],
            "events": [name.event_name for name in names],
        }
        async with self._asked() as connection, connection.cursor(row_factory=tuple_row) as cursor:
            await cursor.execute(_PRESENT, columns)
            return [RowName.of(row) for row in await cursor.fetchall()]

    async def state(self) -> SealingState:
        """See the port."""
        async with self._asked() as connection:
            return await state_of(connection)

    async def retained(self) -> Retained:
        """See the port."""
        months = [(row["begins"], row["ends"]) for row in await self._all(_MONTHS)]
        dropped = await self._all(_DROPPED)
        return Retained(months=months, dropped=Dropped(**dropped[0]) if dropped else None)

    async def unsealed(self, from_xid: int, to_xid: int) -> Unsealed:
        """See the port."""
        async with self._asked() as connection:
            return Unsealed(**await one(connection, _UNSEALED, from_xid=from_xid, to_xid=to_xid))

    async def _all(self, query: str, **values: object) -> list[DictRow]:
        async with self._asked() as connection:
            return await (await connection.execute(query, values)).fetchall()

    def _asked(self) -> AbstractAsyncContextManager[Connection]:
        return self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE, patience_s=_PATIENCE_S)
