"""The audit is written once, and what changes a tenant or a key is told."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest

from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import LedgerBench, a_hold
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores


@pytest.mark.parametrize(
    "statement",
    [
        "update neuronetz.audit set actor = 'me'",
        "delete from neuronetz.audit",
        "truncate neuronetz.audit",
        "update neuronetz.{partition} set actor = 'me'",
        "delete from neuronetz.{partition}",
        "truncate neuronetz.{partition}",
    ],
)
async def test_the_audit_cannot_be_changed(desk: Desk, desk_bench: LedgerBench, statement: str) -> None:
    await desk_bench.a_key()
    [(partition,)] = await desk.rows("select distinct tableoid::regclass::text from neuronetz.audit")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="final"):
        await desk.rows(statement.format(partition=str(partition).removeprefix("neuronetz.")))


async def test_partitions_reach_two_months_ahead_over_the_end_of_a_year(desk: Desk) -> None:
    await DatabaseClock(desk.url).set(datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC))

    names = await desk.rows(
        "select inhrelid::regclass::text from pg_inherits"
        " where inhparent = 'neuronetz.audit'::regclass and inhrelid::regclass::text > 'neuronetz.audit_2027_11'"
        " order by 1"
    )
    assert [str(name).removeprefix("neuronetz.") for (name,) in names] == [
        "audit_2027_12",
        "audit_2028_01",
        "audit_2028_02",
    ]
    assert await desk.rows("select neuronetz.make_audit_partitions()") == [(0,)]


async def test_plain_sql_raises_the_generation_and_is_told(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    async with await psycopg.AsyncConnection.connect(desk.url, autocommit=True) as listener:
        await listener.execute("listen neuronetz_changes")
        await desk.rows("update neuronetz.tenants set rpm = 5 where id = %s", UUID(key.tenant_id))
        await desk.rows("update neuronetz.tenants set state = 'suspended' where id = %s", UUID(key.tenant_id))
        await desk.rows("update neuronetz.api_keys set models = '{}' where id = %s", UUID(key.id))
        await desk.rows("update neuronetz.api_keys set revoked_at = now() where id = %s", UUID(key.id))
        await desk.rows("delete from neuronetz.api_keys where id = %s", UUID(key.id))
        told = [json.loads(notice.payload) async for notice in listener.notifies(timeout=2, stop_after=5)]

    assert [(one["tenant"], one["key"], one["generation"], one["what"]) for one in told] == [
        (key.tenant_id, None, 2, "changed"),
        (key.tenant_id, None, 3, "suspended"),
        (key.tenant_id, key.id, 2, "changed"),
        (key.tenant_id, key.id, 3, "revoked"),
        (key.tenant_id, key.id, 4, "revoked"),
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "update neuronetz.tenants set limits_epoch = limits_epoch + 1",
        "update neuronetz.tenants set rpm = rpm, name = name",
        "update neuronetz.tenants set generation = 99, changed_at = '2001-01-01'",
        "update neuronetz.api_keys set secret_hash = 'better'",
    ],
)
async def test_what_changes_nothing_for_others_is_not_told(desk: Desk, desk_bench: LedgerBench, statement: str) -> None:
    await desk_bench.a_key()
    generations = (
        "select generation, changed_at from neuronetz.tenants"
        " union all select generation, changed_at from neuronetz.api_keys"
    )
    before = await desk.rows(generations)
    async with await psycopg.AsyncConnection.connect(desk.url, autocommit=True) as listener:
        await listener.execute("listen neuronetz_changes")
        await desk.rows(statement)
        told = [notice async for notice in listener.notifies(timeout=0.1, stop_after=1)]

    assert told == []
    assert await desk.rows(generations) == before


async def test_the_identity_of_a_key_cannot_be_changed(desk: Desk, desk_bench: LedgerBench) -> None:
    await desk_bench.a_key()

    with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        await desk.rows("update neuronetz.api_keys set budget_id = gen_random_uuid()")


@pytest.mark.parametrize("column", ["rpm", "tpm", "concurrency", "daily_tokens", "monthly_tokens", "total_tokens"])
async def test_a_limit_is_positive_or_null(desk: Desk, desk_bench: LedgerBench, column: str) -> None:
    await desk_bench.a_key()

    with pytest.raises(psycopg.errors.CheckViolation):
        await desk.rows(f"update neuronetz.tenants set {column} = 0")  # noqa: S608 - a column of ours


async def test_an_audit_row_knows_its_transaction(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    hold = a_hold(key)
    await desk.ledger.hold(hold)

    [(complete,)] = await desk.rows(
        "select xid < pg_snapshot_xmin(pg_current_snapshot()) from neuronetz.audit where request_id = %s",
        UUID(hold.request_id),
    )

    assert complete is True
