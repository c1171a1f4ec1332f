"""Memory and PostgreSQL keep one contract."""

from __future__ import annotations

import pytest

from tests.contracts.budget_ledger import LedgerBench, LedgerContract, Line
from tests.fakes.budget_ledger import MemoryBudgetLedger
from tests.fakes.registers import Books, MemoryTenantRegister
from tests.stores import DatabaseClock


def memory_bench() -> LedgerBench:
    clock = DatabaseClock(None)
    books = Books(now=clock.now)
    ledger = MemoryBudgetLedger(books)

    async def lines(request_id: str) -> list[Line]:
        return [
            Line(row.event, row.outcome, row.prompt_tokens, row.output_tokens, row.held_tokens)
            for row in books.audit
            if row.request_id == request_id
        ]

    async def reap() -> int:
        return ledger.reap()

    return LedgerBench(ledger=ledger, register=MemoryTenantRegister(books), clock=clock, lines=lines, reap=reap)


class TestMemory(LedgerContract):
    @pytest.fixture
    def bench(self) -> LedgerBench:
        return memory_bench()


@pytest.mark.stores
class TestPostgres(LedgerContract):
    @pytest.fixture
    def bench(self, desk_bench: LedgerBench) -> LedgerBench:
        return desk_bench
