"""Parts of the PostgreSQL side, started and stopped around a test."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID, uuid4

import attrs
import psycopg
import pytest
from psycopg.rows import dict_row

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.budget_ledger import PostgresBudgetLedger
from adapters.postgres.lane import Lane
from adapters.postgres.pool import Pool
from adapters.postgres.registers import PostgresTenantRegister
from domain.budgets import Budgets
from domain.policies import Policy
from tests.builders import to
from tests.contracts.budget_ledger import LedgerBench, Line
from tests.logins import login_in
from tests.stores import DatabaseClock


@attrs.frozen(kw_only=True)
class Desk:
    """One gateway's side of PostgreSQL, and a way past it."""

    url: str = attrs.field(repr=False)
    address: DatabaseAddress
    process_id: UUID
    lane: Lane
    pool: Pool
    ledger: PostgresBudgetLedger
    register: PostgresTenantRegister

    async def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """What a stranger with psql sees."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), values)
            return [] if cursor.description is None else await cursor.fetchall()

    async def lines(self, request_id: str) -> list[Line]:
        rows = await self.rows(
            "select event, outcome, prompt_tokens, output_tokens, held_tokens from neuronetz.audit"
            " where request_id = %s order by at, event = 'corrected', event = 'reaped', event = 'finished'",
            UUID(request_id),
        )
        return [Line(*row) for row in rows]  # type: ignore[arg-type]  # rows know no types

    async def reap(self) -> int:
        await self.rows("update neuronetz.processes set beat_at = neuronetz.ledger_now() - interval '2 minutes'")
        return int(str((await self.rows("select neuronetz.reap('1 minute')"))[0][0]))

    async def books_balance(self) -> bool:
        """Whether every window agrees with the holds and the audit, for whole tenants."""
        rows = await self.rows(
            """
            select w.used, w.held,
                (select coalesce(sum(h.tokens), 0) from neuronetz.holds h
                    where h.tenant_id = w.tenant_id and h.state = 'open'),
                (select coalesce(sum(a.prompt_tokens + a.output_tokens), 0) from neuronetz.audit a
                    where a.tenant_id = w.tenant_id and a.event in ('finished', 'reaped', 'corrected'))
            from neuronetz.budget_windows w where w.kind = 2 and w.scope_id = w.tenant_id
            """
        )
        return all(used == charged and held == open_tokens for used, held, open_tokens, charged in rows)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    address = DatabaseAddress.read(database_url)
    process_id = uuid4()
    lane, pool = Lane(address, process_id), Pool(address)
    await lane.start()
    yield Desk(
        url=database_url,
        address=address,
        process_id=process_id,
        lane=lane,
        pool=pool,
        ledger=PostgresBudgetLedger(lane, pool),
        register=PostgresTenantRegister(pool),
    )
    await lane.stop()
    await pool.close()


@pytest.fixture
def desk_bench(desk: Desk) -> LedgerBench:
    return LedgerBench(
        ledger=desk.ledger,
        register=desk.register,
        clock=DatabaseClock(desk.url),
        lines=desk.lines,
        reap=desk.reap,
    )


@pytest.fixture
def race_ground(database_url: str) -> tuple[str, bytes]:
    """A database with one key whose tenant has 1,000 tokens left; the key as words for other processes."""

    async def prepare() -> bytes:
        pool = Pool(DatabaseAddress.read(database_url))
        register = PostgresTenantRegister(pool)
        await register.add_tenant("racers", actor="test")
        await register.change_tenant_policy("racers", to(Policy(budgets=Budgets(total=1000))), actor="test")
        key = await register.add_key(
            "racers", name="k", prefix="nz_racers00", secret_hash="hash", expires_at=None, actor="test"
        )
        await pool.close()
        return pickle.dumps(key)

    return database_url, asyncio.run(prepare())


Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def as_role(database_url: str) -> Iterator[Callable[[str], Ask]]:
    """A way to speak as a fresh login in a role."""
    with ExitStack() as undo:

        def speaker(role: str) -> Ask:
            url = undo.enter_context(login_in(role, database_url))

            def ask(statement: str, *values: object) -> list[dict[str, Any]]:
                with psycopg.connect(url, row_factory=dict_row) as connection:
                    cursor = connection.execute(statement.encode(), values)
                    return cursor.fetchall() if cursor.description else []

            return ask

        yield speaker
