"""Memory and PostgreSQL keep one contract; and the audit of changes holds no secret."""

from __future__ import annotations

from uuid import UUID

import pytest

from adapters.postgres.registers import PostgresKeyRegister
from tests.adapters.postgres.conftest import Desk
from tests.builders import to
from tests.contracts.budget_ledger import a_hold
from tests.contracts.registers import SOME, RegisterBench, RegisterContract, a_prefix
from tests.fakes.budget_ledger import MemoryBudgetLedger
from tests.fakes.registers import Books, MemoryKeyRegister, MemoryTenantRegister
from tests.stores import DatabaseClock


class TestMemory(RegisterContract):
    @pytest.fixture
    def bench(self) -> RegisterBench:
        clock = DatabaseClock(None)
        books = Books(now=clock.now)

        async def changes(tenant_id: str) -> list[tuple[str, str | None]]:
            rows = [row for row in books.audit if row.event == "admin" and row.tenant_id == tenant_id]
            return [(str(row.change), row.actor) for row in rows]

        return RegisterBench(
            keys=MemoryKeyRegister(books),
            register=MemoryTenantRegister(books),
            ledger=MemoryBudgetLedger(books),
            clock=clock,
            changes=changes,
        )


@pytest.fixture
def desk_registers(desk: Desk) -> RegisterBench:
    async def changes(tenant_id: str) -> list[tuple[str, str | None]]:
        rows = await desk.rows(
            "select detail->>'change', actor from neuronetz.audit"
            " where event = 'admin' and tenant_id = %s order by xid",
            UUID(tenant_id),
        )
        return [(str(change), None if actor is None else str(actor)) for change, actor in rows]

    return RegisterBench(
        keys=PostgresKeyRegister(desk.pool),
        register=desk.register,
        ledger=desk.ledger,
        clock=DatabaseClock(desk.url),
        changes=changes,
    )


@pytest.mark.stores
class TestPostgres(RegisterContract):
    @pytest.fixture
    def bench(self, desk_registers: RegisterBench) -> RegisterBench:
        return desk_registers

    async def test_the_audit_keeps_before_and_after_and_no_secret(self, bench: RegisterBench, desk: Desk) -> None:
        key = await bench.a_key()
        await bench.register.change_key_policy(key.prefix, to(SOME), actor="op")
        await bench.register.replace_key(key.prefix, new_prefix=a_prefix(), secret_hash="$new$", actor="op")

        rows = await desk.rows("select detail from neuronetz.audit where event = 'admin'")

        details = [row[0] for row in rows]
        assert {"change": "set_key_policy"}.items() <= details[2].items()  # type: ignore[attr-defined]  # JSON
        assert details[2]["before"]["rpm"] is None  # type: ignore[index]  # JSON
        assert details[2]["after"]["rpm"] == 60  # type: ignore[index]  # JSON
        assert "hash" not in repr(details)
        assert "$new$" not in repr(details)

    async def test_last_use_is_the_latest_hold(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        assert (await bench.register.key(key.prefix)).last_used_at is None

        await bench.ledger.hold(a_hold(key))

        assert (await bench.register.key(key.prefix)).last_used_at is not None
