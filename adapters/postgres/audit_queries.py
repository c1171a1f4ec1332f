"""The queries of the audit's reader: fixed pieces, put together by which filters are given.

Every query bounds `at`, so that partitions are left out and the block range index finds the place; where a tenant is
given the primary key does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from adapters.postgres.rows import Row
from domain.ports.audit_reader import AuditFilter, AuditLine

NOBODY = UUID(int=0)
"""Stands for the tenant in lines that belong to none."""

_LINES = """
    select a.*, (select t.name from neuronetz.tenants t where t.id = a.tenant_id) as tenant_name
    from neuronetz.audit a
    where a.at >= %(from)s and a.at < %(to)s
"""
"""The name is not joined: it would be looked up for all lines of a span, and not for those alone that are shown."""

_FILTERS = {
    "tenant_id": "a.tenant_id = %(tenant_id)s",
    "key_prefix": "a.key_prefix = %(key_prefix)s",
    "event": "a.event = %(event)s",
    "outcome": "(a.outcome = %(outcome)s or a.code = %(outcome)s)",
    "request_id": "a.request_id = %(request_id)s",
    "since": "a.at >= %(since)s",
    "until": "a.at < %(until)s",
}

SEEN = "pg_visible_in_snapshot(a.xid, %(seen)s::text::pg_snapshot)"
"""Committed before that snapshot. The lines of one transaction share one xid, so they are seen together or not."""
OLD_OR_SEEN = f"(a.at < %(horizon)s or {SEEN})"
"""Of what is older than the horizon nothing is still to be committed. It is not asked for its xid, because that may be
another server's: of the one that a backup was made on."""
UNSEEN_BEFORE = "not pg_visible_in_snapshot(a.xid, %(before)s::text::pg_snapshot)"
BEHIND = "(a.at, a.tenant_id, a.request_id, a.event) > (%(last_at)s, %(last_tenant)s, %(last_request)s, %(last_event)s)"

NEWEST_FIRST = "order by a.at desc, a.tenant_id desc, a.request_id desc, a.event desc limit %(most)s"
OLDEST_FIRST = "order by a.at, a.tenant_id, a.request_id, a.event"

SNAPSHOT = "select pg_current_snapshot()::text as snapshot, neuronetz.ledger_now() as now"

HORIZON = """
    select least(clock_timestamp(), (
        select min(s.xact_start) from pg_stat_activity s where s.datname = current_database()
    )) - interval '10 minutes' as horizon
"""
"""No transaction that runs now, or begins later, writes a line with an earlier time: `at` is when its transaction
began. The 10 minutes are for those whose start this role may not see."""

FIRST_PARTITION = """
    select min(substring(pg_get_expr(c.relpartbound, c.oid) from $$FROM \\('([^']+)'\\)$$)::timestamptz) as starts
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'neuronetz.audit'::regclass
"""


def lines_where(filters: Row, *conditions: str, order: str) -> str:
    """The query for lines within a span of time."""
    chosen = [_FILTERS[name] for name in _FILTERS if name in filters]
    return " and ".join([_LINES, *chosen, *conditions]) + "\n" + order


def values_of(wanted: AuditFilter, tenant_id: UUID | None) -> dict[str, Any]:
    """What fills the filters that are given."""
    given: dict[str, Any] = {
        "tenant_id": tenant_id,
        "key_prefix": wanted.key_prefix,
        "event": wanted.event,
        "outcome": wanted.outcome,
        "request_id": None if wanted.request_id is None else UUID(wanted.request_id),
        "since": wanted.since,
        "until": wanted.until,
    }
    return {name: value for name, value in given.items() if value is not None}


def lines_of(rows: Sequence[Row]) -> Sequence[AuditLine]:
    """Rows as the domain's values."""
    return [_line(row) for row in rows]


def _line(row: Row) -> AuditLine:
    tenant_id = None if row["tenant_id"] == NOBODY else str(row["tenant_id"])
    fitting = {name: row[name] for name in _AS_THEY_ARE}
    return AuditLine(tenant_id=tenant_id, request_id=row["request_id"].hex, **fitting)


_AS_THEY_ARE = (
    "at", "event", "tenant_name", "key_prefix", "route", "model", "backend", "address", "outcome", "status", "code",
    "prompt_tokens", "output_tokens", "held_tokens", "overshoot_tokens", "bytes_out", "queued_ms", "first_byte_ms",
    "duration_ms", "count", "actor", "detail",
)  # fmt: skip
