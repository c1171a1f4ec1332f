"""What a console, a report and a clean-up job may do in the database, and that it is recorded: docs/CONSOLE.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.registers import PostgresKeyRegister
from domain.settlement import Charge
from tests.adapters.postgres.conftest import Ask, Desk
from tests.contracts.budget_ledger import LedgerBench, a_hold, an_end
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

CONTRACT = Path(__file__).resolve().parents[3] / "docs" / "CONSOLE.md"


@pytest.fixture
def console(as_role: Callable[[str], Ask]) -> Ask:
    return as_role("neuronetz_console")


async def test_a_console_adds_and_changes_tenants_and_each_change_is_recorded(desk: Desk, console: Ask) -> None:
    console("insert into neuronetz.tenants (name, rpm) values ('one', 5)")
    console("update neuronetz.tenants set rpm = null, daily_tokens = 1000 where name = 'one'")
    console("update neuronetz.tenants set state = 'suspended' where name = 'one'")

    rows = await desk.rows(
        "select detail->>'change', detail->'before', detail->'after', actor, detail->>'login' from neuronetz.audit"
        " where event = 'admin' order by at"
    )
    assert [row[0] for row in rows] == ["add_tenant", "change_tenant", "change_tenant"]
    assert [row[1] for row in rows[1:]] == [{"rpm": 5, "daily_tokens": None}, {"state": "active"}]
    assert [row[2] for row in rows[1:]] == [{"rpm": None, "daily_tokens": 1000}, {"state": "suspended"}]
    assert all(actor == f"sql:{login}" and str(login).startswith("neuronetz_console_") for *_, actor, login in rows)
    windows = console("select used_tokens, left_tokens from neuronetz.console_budgets where period = 'daily'")
    assert windows == [{"used_tokens": 0, "left_tokens": 1000}]


async def test_two_changes_of_one_row_in_one_transaction_are_two_records(desk: Desk, console: Ask) -> None:
    console("insert into neuronetz.tenants (name) values ('one')")
    console(
        "with first as (select set_config('neuronetz.actor', 'console:operator-7', true))"
        " update neuronetz.tenants set rpm = 1 from first where name = 'one'"
    )
    async with await psycopg.AsyncConnection.connect(desk.url) as owner:
        await owner.execute("update neuronetz.tenants set rpm = 2")
        await owner.execute("update neuronetz.tenants set rpm = 3")

    rows = await desk.rows(
        "select detail->'after'->>'rpm', actor from neuronetz.audit where detail->>'change' = 'change_tenant'"
        " order by detail->'after'->>'rpm'"
    )
    assert rows == [("1", "console:operator-7"), ("2", "sql:app"), ("3", "sql:app")]


async def test_what_our_register_records_is_not_recorded_twice(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    await desk.register.replace_key(key.prefix, new_prefix="nz_second00", secret_hash="other", actor="test")

    changes = await desk.rows("select detail->>'change' from neuronetz.audit where event = 'admin' order by xid, at")
    assert sorted(str(change) for (change,) in changes) == ["add_key", "add_tenant", "replace_key", "revoke_key"]


async def test_a_hash_that_is_replaced_is_recorded_without_the_hash(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    await PostgresKeyRegister(desk.pool).rehash(key.id, "new-hash")

    [(detail,)] = await desk.rows("select detail from neuronetz.audit where detail->>'change' = 'change_key'")

    assert isinstance(detail, dict)
    assert detail["after"] == {"secret_hash": "***"}


async def test_what_the_limit_store_keeps_in_a_tenant_is_not_recorded(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    before = await desk.rows("select count(*) from neuronetz.audit")

    await desk.ledger.tenant_facts(key.tenant_id)

    assert await desk.rows("select count(*) from neuronetz.audit") == before


async def test_a_revoked_key_stays_revoked(desk: Desk, desk_bench: LedgerBench, console: Ask) -> None:
    key = await desk_bench.a_key()
    console("update neuronetz.api_keys set revoked_at = now() - interval '1 hour' where prefix = %s", key.prefix)
    before = console("select revoked_at from neuronetz.console_keys")

    console("update neuronetz.api_keys set revoked_at = now() where prefix = %s", key.prefix)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="stays revoked"):
        console("update neuronetz.api_keys set revoked_at = null where prefix = %s", key.prefix)

    assert console("select revoked_at from neuronetz.console_keys") == before
    changes = await desk.rows("select count(*) from neuronetz.audit where detail->>'change' = 'revoke_key'")
    assert changes == [(1,)]


async def test_calls_are_one_row_each_with_what_they_cost(desk: Desk, desk_bench: LedgerBench, console: Ask) -> None:
    key = await desk_bench.a_key()
    running, done, lost, late = (a_hold(key) for _ in range(4))
    for hold in (lost, late):
        await desk.ledger.hold(hold)
    await desk.reap()
    for hold in (running, done):
        await desk.ledger.hold(hold)
    for hold in (done, late):
        await desk_bench.settled(an_end(hold, Charge(prompt=7, output=5, overshoot=0)))

    calls = console("select request_id, state, prompt_tokens, output_tokens, held_tokens from neuronetz.console_calls")

    states = {row["request_id"]: tuple(row.values())[1:] for row in calls}
    assert states == {
        UUID(running.request_id): ("open", None, None, 100),
        UUID(done.request_id): ("finished", 7, 5, 100),
        UUID(lost.request_id): ("reaped", 10, 90, 100),
        UUID(late.request_id): ("corrected", 7, 5, 100),
    }
    [use] = console(
        "select calls, prompt_tokens + output_tokens as tokens from neuronetz.console_usage("
        "now() - interval '1 day', now() + interval '1 day')"
    )
    daily = console("select scope, used_tokens, held_tokens from neuronetz.console_usage_daily order by scope")
    assert use == {"calls": 4, "tokens": 124}
    assert [tuple(row.values()) for row in daily] == [("key", 124, 100), ("tenant", 124, 100)]


async def test_budgets_say_what_is_used_held_and_left(desk: Desk, desk_bench: LedgerBench, console: Ask) -> None:
    clock = DatabaseClock(desk.url)
    await clock.set(datetime(2027, 12, 31, 23, tzinfo=UTC))
    key = await desk_bench.a_key()
    await desk.ledger.hold(a_hold(key))
    console("update neuronetz.tenants set monthly_tokens = 150")

    [row] = console("select * from neuronetz.console_budgets where scope = 'tenant' and period = 'monthly'")

    assert (row["limit_tokens"], row["used_tokens"], row["held_tokens"], row["left_tokens"]) == (150, 0, 100, 50)
    assert (row["starts_at"], row["ends_at"]) == (datetime(2027, 12, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))


def _examples() -> Iterator[tuple[str, str]]:
    for language, text in re.findall(r"```(\w+)\n(.*?)```", CONTRACT.read_text(), re.DOTALL):
        if language == "sql":
            first, statements = text.split("\n", 1)
            yield first.removeprefix("-- as ").strip(), statements


def test_every_example_of_the_contract_does_what_it_says(database_url: str, as_role: Callable[[str], Ask]) -> None:
    speakers = {role: as_role(role) for role in ("neuronetz_console", "neuronetz_reader", "neuronetz_retention")}
    examples = sorted(_examples(), key=lambda example: example[0] == "neuronetz_reader")  # reports come last

    for role, statements in examples:
        if role in speakers:
            speakers[role](statements.replace("begin;", "").replace("commit;", "").replace("%", "%%"))
        else:
            with psycopg.connect(database_url) as owner:
                owner.execute(statements.encode())
                owner.rollback()

    assert len(examples) >= 12
    assert {role for role, _ in examples} == {*speakers, "the owner"}
    [row] = speakers["neuronetz_reader"]("select tenant, state from neuronetz.console_tenants")
    assert row == {"tenant": "example", "state": "active"}
    [key] = speakers["neuronetz_reader"]("select state, rpm from neuronetz.console_keys")
    assert key == {"state": "revoked", "rpm": 30}
