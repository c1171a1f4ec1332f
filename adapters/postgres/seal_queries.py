"""The queries of the audit's seals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

from adapters.postgres.pool import Connection
from adapters.postgres.rows import Row as DictRow
from domain.ports.audit_seals import SealingState
from domain.seals import Row, Seal

TURN = "select neuronetz.take_sealing_turn() as mine"
STATE = """
    select (select system_identifier from pg_control_system()) as server,
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint as complete_below,
        pg_snapshot_xmax(pg_current_snapshot())::text::bigint as unborn_from,
        clock_timestamp() as now
"""
SEALS = """
    select s.n, s.format, s.server, s.restored, s.from_xid, s.to_xid, s.row_count, s.first_at, s.last_at, s.root,
        s.rows_hash, s.previous, s.key_id, s.made_at, s.mac
    from neuronetz.seals s
"""
ROWS = """
    select (extract(epoch from a.at) * 1000000)::bigint::text, a.tenant_id::text, a.request_id::text, a.event,
        a.key_id::text, a.key_prefix, a.route, a.model, a.address, a.backend, a.outcome, a.status::text, a.code,
        a.prompt_tokens::text, a.output_tokens::text, a.held_tokens::text, a.overshoot_tokens::text, a.bytes_out::text,
        a.queued_ms::text, a.first_byte_ms::text, a.duration_ms::text, a.count::text, a.actor, a.detail::text,
        a.xid::text
    from neuronetz.audit a
"""
"""In the order of `domain.seals.COLUMNS`. A timestamp is written as its microseconds, because its text depends on the
session; that of jsonb does not."""
WITHIN = "where a.xid::text::bigint >= %(from_xid)s and a.xid::text::bigint < %(to_xid)s"
OUTSIDE = "where a.xid::text::bigint is null or a.xid::text::bigint >= %(end)s"
"""What is in no span, and is asked for once so that nobody hides a row there."""
UNBORN = "and a.xid >= pg_snapshot_xmax(pg_current_snapshot())"
"""Asked with the statement's own snapshot: what it sees of this server's transactions is below that."""
IN_ORDER = 'order by a.xid::text::bigint, a.at, a.tenant_id, a.request_id, a.event collate "C"'
INSERT_SEAL = """
    insert into neuronetz.seals (n, format, server, restored, from_xid, to_xid, row_count, first_at, last_at, root,
        rows_hash, previous, key_id, made_at, mac)
    values (%(n)s, %(format)s, %(server)s, %(restored)s, %(from_xid)s, %(to_xid)s, %(row_count)s, %(first_at)s,
        %(last_at)s, %(root)s, %(rows_hash)s, %(previous)s, %(key_id)s, %(made_at)s, %(mac)s)
"""
INSERT_ROWS = """
    insert into neuronetz.seal_rows (n, last_at, names, leaves) values (%(n)s, %(last_at)s, %(names)s, %(leaves)s)
"""
UNSEALED_AGE = """
    select extract(epoch from neuronetz.ledger_now() - coalesce(
        (select min(a.at) from neuronetz.audit a where a.xid::text::bigint >= %(from_xid)s
            and a.xid::text::bigint < least(%(from_xid)s + 100000, %(unborn_from)s)),
        (select min(a.at) from neuronetz.audit a where a.xid::text::bigint >= %(from_xid)s + 100000
            and a.xid::text::bigint < %(unborn_from)s)))::float8 as age_s
"""
"""Bounded, so that looking stays cheap when much waits: what waits longest is among the first. Only if there is nothing
is all looked at: other databases on the server may have had those ids, in a quiet night. What has an id that is
still to come was restored, and sealed when this server was new to the chain."""


async def state_of(connection: Connection) -> SealingState:
    """How far transactions have come."""
    return SealingState(**await one(connection, STATE))


async def head_of(connection: Connection) -> Seal | None:
    """The last seal."""
    row = await (await connection.execute(f"{SEALS} order by s.n desc limit 1")).fetchone()
    return None if row is None else Seal(**row)


async def one(connection: Connection, query: LiteralString, **values: object) -> DictRow:
    """The one row of an answer that has one."""
    row = await (await connection.execute(query, values)).fetchone()
    if row is None:
        raise AssertionError("a select without a table, or of an aggregate, has one row")
    return row


def rows_of(answer: Sequence[DictRow]) -> Sequence[Row]:
    """Rows as they are sealed."""
    return [tuple(row.values()) for row in answer]
