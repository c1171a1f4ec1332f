"""The real SQL functions, called step by step, and a look at everything they keep, in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg

from adapters.postgres.lane_connection import PLANNER
from adapters.postgres.ledger_words import batch_words, hold_words, read_facts, read_verdicts, settlement_words
from adapters.postgres.rows import KNOWN_KEY, SET_KEY_POLICY, SET_TENANT_POLICY, known_key_of, policy_columns
from domain.policies import Caller, Policy, TenantState
from domain.ports.budget_ledger import HoldRequest, HoldVerdict, Settlement
from domain.ports.limit_store import TenantFacts

STALE_AFTER = "60 seconds"

_SEEN = """
    select json_build_object(
        'windows', (select coalesce(json_agg(w), '[]') from (
            select tenant_id, scope_id, kind, extract(epoch from starts_at)::bigint as starts_s, used, held
            from neuronetz.budget_windows where tenant_id = any(%(tenants)s)
            order by tenant_id, scope_id, kind, starts_at) w),
        'holds', (select coalesce(json_agg(h), '[]') from (
            select tenant_id, replace(request_id::text, '-', '') as request_id, budget_id, tokens, state,
                extract(epoch from day_start)::bigint as day_s, extract(epoch from month_start)::bigint as month_s
            from neuronetz.holds where tenant_id = any(%(tenants)s)
            order by tenant_id, request_id) h),
        'lines', (select coalesce(json_agg(a), '[]') from (
            select tenant_id, replace(request_id::text, '-', '') as request_id, key_id, event,
                extract(epoch from at)::float8 as at_s, held_tokens, prompt_tokens + output_tokens as tokens
            from neuronetz.audit
            where tenant_id = any(%(tenants)s) and at >= %(since)s
                and event in ('started', 'finished', 'reaped', 'corrected')
            order by xid, request_id, event) a))::text
"""


class SeenWindow(msgspec.Struct, frozen=True):
    tenant_id: str
    scope_id: str
    kind: int
    starts_s: int
    used: int
    held: int

    @property
    def name(self) -> tuple[str, str, int, int]:
        return self.tenant_id, self.scope_id, self.kind, self.starts_s


class SeenHold(msgspec.Struct, frozen=True):
    tenant_id: str
    request_id: str
    budget_id: str
    tokens: int
    state: str
    day_s: int
    month_s: int


class SeenLine(msgspec.Struct, frozen=True):
    tenant_id: str
    request_id: str
    key_id: str
    event: str
    at_s: float
    held_tokens: int
    tokens: int


class Seen(msgspec.Struct, frozen=True):
    """What the database keeps of the tenants of one history."""

    windows: list[SeenWindow]
    holds: list[SeenHold]
    lines: list[SeenLine]

    def of(self, tenant_id: str) -> Seen:
        """One tenant's part."""
        return Seen(
            [one for one in self.windows if one.tenant_id == tenant_id],
            [one for one in self.holds if one.tenant_id == tenant_id],
            [one for one in self.lines if one.tenant_id == tenant_id],
        )


_seen = msgspec.json.Decoder(Seen)


class Books:
    """One connection, with the planner told what the gateway's own is told."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        for name, value in PLANNER.items():
            self._connection.execute(f"set {name} = {value}")

    def close(self) -> None:
        self._connection.close()

    def empty(self) -> None:
        """Former histories hold nothing any more. Their tenants stay: nobody asks for them."""
        self._run("delete from neuronetz.holds")
        self._run("delete from neuronetz.processes")

    def set_clock(self, now: datetime) -> None:
        self._run("update neuronetz.test_clock set at = %s", now)

    def make_partitions(self) -> None:
        self._run("select neuronetz.make_audit_partitions()")

    def add_tenant(self) -> str:
        tenant_id = uuid4()
        self._run("insert into neuronetz.tenants (id, name) values (%s, %s)", tenant_id, tenant_id.hex)
        return str(tenant_id)

    def add_key(self, tenant_id: str) -> tuple[str, str]:
        """Its prefix and its budget's id."""
        prefix, budget_id = f"nz_{uuid4().hex[:8]}", uuid4()
        self._run(
            "insert into neuronetz.api_keys (tenant_id, prefix, name, secret_hash, budget_id)"
            " values (%s, %s, %s, 'x', %s)",
            UUID(tenant_id), prefix, prefix, budget_id,
        )  # fmt: skip
        return prefix, str(budget_id)

    def caller(self, prefix: str) -> Caller:
        cursor = self._connection.execute(KNOWN_KEY, {"prefix": prefix})
        row = cursor.fetchone()
        assert row is not None and cursor.description is not None
        return known_key_of(dict(zip([column.name for column in cursor.description], row, strict=True))).caller

    def set_key_policy(self, prefix: str, policy: Policy) -> None:
        self._connection.execute(SET_KEY_POLICY, {"prefix": prefix, **policy_columns(policy)})

    def set_tenant_policy(self, tenant_id: str, policy: Policy) -> None:
        self._connection.execute(SET_TENANT_POLICY, {"name": UUID(tenant_id).hex, **policy_columns(policy)})

    def set_state(self, tenant_id: str, state: TenantState) -> None:
        self._run("update neuronetz.tenants set state = %s where id = %s", state, UUID(tenant_id))

    def revoke(self, prefix: str) -> None:
        self._run("update neuronetz.api_keys set revoked_at = neuronetz.ledger_now() where prefix = %s", prefix)

    def expire(self, prefix: str, at: datetime) -> None:
        self._run("update neuronetz.api_keys set expires_at = %s where prefix = %s", at, prefix)

    def beat(self, process_id: UUID) -> None:
        self._run(
            "insert into neuronetz.processes (id, host) values (%s, 'test')"
            " on conflict (id) do update set beat_at = neuronetz.ledger_now()",
            process_id,
        )

    def send(
        self, process_id: UUID, settles: Sequence[Settlement], holds: Sequence[HoldRequest]
    ) -> Sequence[HoldVerdict]:
        """One batch, as the lane of that process sends it."""
        words = batch_words(
            process_id.hex, [settlement_words(one) for one in settles], [hold_words(one) for one in holds]
        )
        row = self._run("select neuronetz.ledger(%s::jsonb)::text", words.decode()).fetchone()
        assert row is not None
        return read_verdicts(row[0].encode(), len(holds))

    def reap(self) -> None:
        self._run("select neuronetz.reap(%s::interval)", STALE_AFTER)

    def forget_the_dead(self) -> None:
        self._run("select neuronetz.forget_the_dead(%s::interval)", STALE_AFTER)

    def facts(self, tenant_id: str) -> TenantFacts:
        row = self._run("select neuronetz.tenant_facts(%s)::text", UUID(tenant_id)).fetchone()
        assert row is not None
        return read_facts(row[0])

    def look(self, tenant_ids: Iterable[str], since: datetime) -> Seen:
        tenants = [UUID(tenant_id) for tenant_id in tenant_ids]
        row = self._connection.execute(_SEEN, {"tenants": tenants, "since": since.astimezone(UTC)}).fetchone()
        assert row is not None
        return _seen.decode(row[0])

    def replace_in_function(self, name: str, old: str, new: str) -> None:
        """Another text in the body of a function, in this database alone."""
        row = self._run("select pg_get_functiondef(%s::regproc)", f"neuronetz.{name}").fetchone()
        assert row is not None and row[0].count(old) == 1
        self._run(row[0].replace(old, new).replace("%", "%%"))

    def _run(self, statement: str, *values: Any) -> psycopg.Cursor[Any]:
        return self._connection.execute(statement, values)
