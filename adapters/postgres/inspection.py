"""Asks PostgreSQL how it is doing, on a connection of its own.

What it writes is an empty message to the write-ahead log: the smallest thing whose commit must reach the disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
from alembic.script import ScriptDirectory
from psycopg.rows import dict_row

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.migrating import MIGRATIONS
from adapters.postgres.pool import Connection, cut
from adapters.postgres.rows import Row
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.inspection import BookFacts, ClockReading, DatabaseFacts, DatabaseInspection, GatewaySign

_COMMITS = 5
_PATIENCE_S = 4.0

_SERVER = """
    select current_setting('server_version') as version,
        current_setting('server_version_num')::int as version_number,
        not current_setting('transaction_read_only')::boolean as writable,
        current_setting('fsync')::boolean as fsync,
        current_setting('synchronous_commit') as synchronous_commit,
        current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true)::int, 0) as most_connections,
        (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections,
        to_regclass('neuronetz.alembic_version') is not null as migrated,
        to_regclass('neuronetz.audit') is not null as has_books
"""

_BOOKS = """
    select (select count(*)::int from generate_series(0, 11) ahead where to_regclass('neuronetz.audit_' || to_char(
            date_trunc('month', neuronetz.ledger_now(), 'UTC') + make_interval(months => ahead), 'YYYY_MM'))
            is not null) - 1 as partitions_ahead,
        (select extract(epoch from neuronetz.ledger_now() - min(h.opened_at))::float8
            from neuronetz.holds h where h.state = 'open') as oldest_hold_s,
        (select count(*) from neuronetz.holds h where h.state = 'reaped') as reaped
"""

_GATEWAYS = """
    select p.id::text, p.host, extract(epoch from neuronetz.ledger_now() - p.beat_at)::float8 as silent_s
    from neuronetz.processes p order by p.host, p.id
"""

_UNSEALED = """
    select extract(epoch from neuronetz.ledger_now() - min(a.at))::float8 as age_s
    from neuronetz.audit a, (select s.to_xid, s.restored from neuronetz.seals s order by s.n desc limit 1) s
    where not s.restored and a.xid::text::bigint >= s.to_xid and a.xid < pg_snapshot_xmax(pg_current_snapshot())
        and a.xid::text::bigint < s.to_xid + 100000
"""

_TIMED_OUT = """
    select a.backend, count(*) as calls
    from neuronetz.audit a
    where a.at > neuronetz.ledger_now() - interval '1 hour' and a.event = 'finished' and a.code = 'backend_timeout'
        and a.backend is not null
    group by 1
"""

_PROMPT_LOG_COLUMN = """
    select a.attname as name from pg_attribute a
    where a.attrelid = 'neuronetz.api_keys'::regclass and a.attname = 'prompt_log_ttl_s' and not a.attisdropped
"""
"""It is not there before the migration that `doctor` may be about to ask for."""

_PROMPT_LOG_KEYS = """
    select count(*) as keys from neuronetz.api_keys k where k.prompt_log_ttl_s is not null and k.revoked_at is null
"""


class PostgresInspection(DatabaseInspection):
    """One look at one database."""

    def __init__(self, address: DatabaseAddress) -> None:
        self._address = address

    async def look(self) -> DatabaseFacts:
        """See the port."""
        async with self._connected() as connection:
            before_s = time.time()
            at: datetime = (await _row(connection, "select clock_timestamp() as at"))["at"]
            here = datetime.fromtimestamp((before_s + time.time()) / 2, UTC)
            server = await _row(connection, _SERVER)
            revision = "select version_num from neuronetz.alembic_version"
            return DatabaseFacts(
                version=server["version"],
                version_number=server["version_number"],
                writable=server["writable"],
                fsync=server["fsync"],
                synchronous_commit=server["synchronous_commit"],
                clock=ClockReading(at=at, ahead_s=(here - at).total_seconds()),
                most_connections=server["most_connections"],
                connections=server["connections"],
                revision=(await _row(connection, revision)).get("version_num") if server["migrated"] else None,
                newest_revision=str(ScriptDirectory(str(MIGRATIONS)).get_current_head()),
                commits_ms=await _commits_ms(connection) if server["writable"] else (),
                books=await _books(connection) if server["has_books"] else None,
            )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        parameters = self._address.parameters(name="neuronetz-doctor", settings={"statement_timeout": "3000"})
        try:
            connection = await psycopg.AsyncConnection.connect(autocommit=True, row_factory=dict_row, **parameters)
            guard = asyncio.get_running_loop().call_later(_PATIENCE_S, cut, connection)
            try:
                yield connection
            finally:
                guard.cancel()
                await connection.close()
        except psycopg.Error as error:
            raise StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, _why(error)) from error


async def _row(connection: Connection, query: str) -> Row:
    return await (await connection.execute(query)).fetchone() or {}


async def _commits_ms(connection: Connection) -> Sequence[float]:
    took_ms = []
    for _ in range(_COMMITS):
        before_s = time.monotonic()
        await connection.execute("select pg_logical_emit_message(true, 'neuronetz', '')")
        took_ms.append((time.monotonic() - before_s) * 1000)
    return took_ms


async def _books(connection: Connection) -> BookFacts:
    sums = await _row(connection, _BOOKS)
    gateways = await (await connection.execute(_GATEWAYS)).fetchall()
    timed_out = await (await connection.execute(_TIMED_OUT)).fetchall()
    has_seals = (await _row(connection, "select to_regclass('neuronetz.seals') is not null as so"))["so"]
    keeps_prompts = bool(await _row(connection, _PROMPT_LOG_COLUMN))
    return BookFacts(
        **sums,
        gateways=[GatewaySign(**sign) for sign in gateways],
        timed_out={row["backend"]: row["calls"] for row in timed_out},
        unsealed_s=(await _row(connection, _UNSEALED))["age_s"] if has_seals else None,
        prompt_log_keys=(await _row(connection, _PROMPT_LOG_KEYS))["keys"] if keeps_prompts else None,
    )


def _why(error: psycopg.Error) -> str:
    lines = str(error).strip().splitlines()
    return f"PostgreSQL cannot be asked: {lines[0].rstrip('.') if lines else type(error).__name__}."
