"""Any history of holds, settlements, reaping, changes and passing time leaves memory and PostgreSQL in one state.

The fake is the specification; this holds the SQL to it. Batches are sent to the function itself, so that several holds
meet in one statement.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.postgres.ledger_words import batch_words, hold_words, read_verdicts, settlement_words
from adapters.postgres.rows import WINDOW_KINDS
from domain.budgets import Budgets, Window
from domain.policies import Policy, TenantState
from domain.ports.budget_ledger import HoldRequest, Settlement
from domain.ports.registers import ApiKey
from domain.settlement import Charge
from tests.builders import to
from tests.contracts.budget_ledger import a_hold, an_end
from tests.fakes.budget_ledger import MemoryBudgetLedger
from tests.fakes.registers import Books, MemoryTenantRegister
from tests.stores import DatabaseClock

pytestmark = pytest.mark.stores

PROCESS = uuid4()
START = datetime(2028, 2, 28, 21, 0, tzinfo=UTC)

amounts = st.integers(0, 40)
limits = st.none() | st.integers(1, 150)
budgets = st.builds(Budgets, daily=limits, monthly=limits, total=limits)
holds = st.lists(
    st.tuples(st.just("hold"), st.integers(0, 2), amounts, amounts, st.sampled_from([1, 1, 3]), st.integers(0, 3)),
    max_size=6,
)
ends = st.lists(st.tuples(st.just("end"), st.integers(0, 30), amounts, amounts), max_size=4)
steps = st.one_of(
    st.tuples(st.just("batch"), ends, holds),
    st.tuples(st.just("batch"), ends, holds),
    st.tuples(st.just("reap")),
    st.tuples(st.just("budgets"), st.integers(0, 2), st.booleans(), budgets),
    st.tuples(st.just("suspend"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 40)),
)


class Twins:
    """The same books twice: in memory, and in PostgreSQL with the same ids."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.clock = DatabaseClock(None, START)
        self.books = Books(now=self.clock.now)
        self.ledger = MemoryBudgetLedger(self.books)
        self.register = MemoryTenantRegister(self.books)
        self.keys: list[ApiKey] = []
        self.made: list[HoldRequest] = []
        self.settled: set[str] = set()

    async def open(self) -> None:
        run = self.connection.execute
        run("truncate neuronetz.tenants, neuronetz.budget_windows, neuronetz.holds, neuronetz.processes cascade")
        run("insert into neuronetz.processes (id, host) values (%s, 'test')", (PROCESS,))
        await self.wait(0)
        tenants = [await self.register.add_tenant(name, actor="test") for name in ("shared", "other")]
        for tenant in tenants:
            run("insert into neuronetz.tenants (id, name) values (%s, %s)", (tenant.id, tenant.name))
        for nth, tenant in enumerate((tenants[0], tenants[0], tenants[1])):
            key = await self.register.add_key(
                tenant.name, name=f"k{nth}", prefix=f"nz_0000000{nth}", secret_hash="x", expires_at=None, actor="test"
            )
            scope = self.books.keys[key.id].scope_id
            run(
                "insert into neuronetz.api_keys (tenant_id, id, prefix, name, secret_hash, budget_id)"
                " values (%s, %s, %s, %s, 'x', %s)",
                (key.tenant_id, key.id, key.prefix, key.name, scope),
            )
            self.keys.append(key)

    async def wait(self, hours: int) -> None:
        await self.clock.advance(timedelta(hours=hours))
        self.connection.execute("update neuronetz.test_clock set at = %s", (self.clock.now(),))
        self.connection.execute("update neuronetz.processes set beat_at = neuronetz.ledger_now()")
        self.connection.execute("select neuronetz.make_audit_partitions()")

    async def set_budgets(self, nth: int, budgets: Budgets, *, tenant: bool) -> None:
        key, table = self.keys[nth], "tenants" if tenant else "api_keys"
        if tenant:
            await self.register.change_tenant_policy(key.tenant_name, to(Policy(budgets=budgets)), actor="test")
        else:
            await self.register.change_key_policy(key.prefix, to(Policy(budgets=budgets)), actor="test")
        self.connection.execute(
            f"update neuronetz.{table} set daily_tokens = %s, monthly_tokens = %s, total_tokens = %s where id = %s",  # noqa: S608 - a table of ours
            (budgets.daily, budgets.monthly, budgets.total, key.tenant_id if tenant else key.id),
        )

    async def suspend(self, nth: int, *, suspended: bool) -> None:
        state = TenantState.SUSPENDED if suspended else TenantState.ACTIVE
        await self.register.set_tenant_state(self.keys[nth].tenant_name, state, actor="test")
        self.connection.execute(
            "update neuronetz.tenants set state = %s where id = %s", (state, self.keys[nth].tenant_id)
        )

    async def batch(self, settlements: list[Settlement], requests: list[HoldRequest]) -> None:
        words = batch_words(
            PROCESS.hex, [settlement_words(one) for one in settlements], [hold_words(one) for one in requests]
        )
        row = self.connection.execute("select neuronetz.ledger(%s::jsonb)::text", (words.decode(),)).fetchone()
        assert row is not None
        for settlement in settlements:
            self.ledger.settle(settlement)
        expected = [await self.ledger.hold(request) for request in requests]
        assert list(read_verdicts(row[0].encode(), len(requests))) == expected

    def reap(self) -> None:
        self.connection.execute("update neuronetz.processes set beat_at = neuronetz.ledger_now() - interval '1 hour'")
        closed = self.connection.execute("select neuronetz.reap('1 minute')").fetchone()
        assert closed == (self.ledger.reap(),)
        self.connection.execute("update neuronetz.processes set beat_at = neuronetz.ledger_now()")

    def compare(self) -> None:
        rows = self.connection.execute(
            "select tenant_id::text, scope_id::text, kind, starts_at, used, held from neuronetz.budget_windows"
            " where used + held > 0"
        ).fetchall()
        stored = {(t, s, WINDOW_KINDS[kind], starts): (used, held) for t, s, kind, starts, used, held in rows}
        remembered = {
            where: (level.used, level.held) for where, level in self.books.windows.items() if level.used + level.held
        }
        assert stored == remembered


@pytest.mark.timeout(600)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(history=st.lists(steps, max_size=12))
def test_memory_and_postgresql_agree_on_any_history(database_url: str, history: list[Any]) -> None:
    asyncio.run(play(database_url, history))


async def play(url: str, history: list[Any]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        twins = Twins(connection)
        await twins.open()
        for step in history:
            match step:
                case ("batch", ended, begun):
                    await play_batch(twins, ended, begun)
                case ("reap",):
                    twins.reap()
                case ("budgets", nth, tenant, budgets_now):
                    await twins.set_budgets(nth, budgets_now, tenant=tenant)
                case ("suspend", nth, suspended):
                    await twins.suspend(nth, suspended=suspended)
                case ("wait", hours):
                    await twins.wait(hours)
            twins.compare()


async def play_batch(twins: Twins, ended: list[Any], begun: list[Any]) -> None:
    requests: list[HoldRequest] = []
    for _, nth, prompt, output, factor, again in begun:
        former = twins.made[-1] if twins.made and again == 0 else None
        if former is not None and former not in requests and former.request_id not in twins.settled:
            requests.append(former)
        else:
            requests.append(a_hold(twins.keys[nth], prompt=prompt, output=output, factor=factor))
    settlements: dict[str, Settlement] = {}
    for _, back, prompt, output in ended:
        if back < len(twins.made):
            hold = twins.made[-1 - back]
            if hold not in requests:
                settlements.setdefault(hold.request_id, an_end(hold, Charge(prompt=prompt, output=output)))
    await twins.batch(list(settlements.values()), requests)
    twins.settled |= settlements.keys()
    twins.made += [request for request in requests if request not in twins.made]


def test_kinds_are_the_windows_in_their_order() -> None:
    assert tuple(Window) == WINDOW_KINDS
    assert UUID(PROCESS.hex) == PROCESS
