"""Memory and PostgreSQL keep one contract."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from adapters.postgres.usage_reader import PostgresUsageReader
from domain.ports.registers import ApiKey
from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import START, LedgerBench
from tests.contracts.usage_reader import UsageBench, UsageContract
from tests.fakes.budget_ledger import MemoryBudgetLedger
from tests.fakes.registers import AuditRow, Books, MemoryTenantRegister
from tests.fakes.usage_reader import MemoryUsageReader
from tests.stores import DatabaseClock


class TestMemory(UsageContract):
    @pytest.fixture
    def bench(self) -> UsageBench:
        clock = DatabaseClock(None, START)
        books = Books(now=clock.now)
        ledger = MemoryBudgetLedger(books)

        async def refuse(key: ApiKey, count: int) -> None:
            books.audit.append(
                AuditRow(at=clock.now(), event="refused", tenant_id=key.tenant_id, key_id=key.id, count=count)
            )

        async def nothing(_: str) -> list[object]:
            return []

        async def reap() -> int:
            return ledger.reap()

        bench = LedgerBench(
            ledger=ledger,
            register=MemoryTenantRegister(books),
            clock=clock,
            lines=nothing,  # type: ignore[arg-type]  # not looked at here
            reap=reap,
        )
        return UsageBench(reader=MemoryUsageReader(books), books=bench, refuse=refuse)


def refusing(desk: Desk) -> Callable[[ApiKey, int], Awaitable[None]]:
    async def refuse(key: ApiKey, count: int) -> None:
        await desk.rows(
            "insert into neuronetz.audit (at, tenant_id, key_id, event, count)"
            " values (neuronetz.ledger_now(), %s, %s, 'refused', %s)",
            UUID(key.tenant_id),
            UUID(key.id),
            count,
        )

    return refuse


@pytest.fixture
def desk_usage(desk: Desk, desk_bench: LedgerBench) -> UsageBench:
    return UsageBench(reader=PostgresUsageReader(desk.pool), books=desk_bench, refuse=refusing(desk))


@pytest.mark.stores
class TestPostgres(UsageContract):
    @pytest.fixture
    def bench(self, desk_usage: UsageBench) -> UsageBench:
        return desk_usage

    async def test_gateways_that_gave_a_sign_of_late_are_counted(self, bench: UsageBench, desk: Desk) -> None:
        await bench.books.clock.set(START)
        await desk.rows("delete from neuronetz.processes")
        for beat in ("5 seconds", "2 minutes"):
            await desk.rows(
                "insert into neuronetz.processes (id, host, beat_at)"
                " values (%s, 'here', neuronetz.ledger_now() - %s::interval)",
                uuid4(),
                beat,
            )

        assert (await bench.activity()).gateways == 1
