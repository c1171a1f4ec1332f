"""Budgets in PostgreSQL: the port's words over the lane, and a tenant's facts over the pool."""

from __future__ import annotations

from uuid import UUID

from adapters.postgres.lane import Lane
from adapters.postgres.ledger_words import hold_words, read_facts, settlement_words
from adapters.postgres.pool import Pool
from domain.faults import FaultCode
from domain.ports.budget_ledger import BudgetLedger, HoldRequest, HoldVerdict, Settlement
from domain.ports.limit_store import TenantFacts

NO_SUCH_TENANT = TenantFacts(epoch=1, recent=(), generations=())


class PostgresBudgetLedger(BudgetLedger):
    """The ledger of one gateway process. Lane and pool are started and stopped by whoever built them."""

    def __init__(self, lane: Lane, pool: Pool) -> None:
        self._lane = lane
        self._pool = pool

    async def hold(self, request: HoldRequest) -> HoldVerdict:
        """See the port."""
        return await self._lane.hold(request.request_id, hold_words(request))

    def settle(self, settlement: Settlement) -> None:
        """See the port."""
        self._lane.settle(settlement.request_id, settlement_words(settlement))

    async def tenant_facts(self, tenant_id: str) -> TenantFacts:
        """See the port."""
        return await self._pool.uninterrupted(self._read_facts(UUID(tenant_id)))

    async def _read_facts(self, tenant_id: UUID) -> TenantFacts:
        async with self._pool.transaction(FaultCode.LEDGER_UNAVAILABLE) as connection:
            cursor = await connection.execute("select neuronetz.tenant_facts(%s)::text as facts", (tenant_id,))
            row = await cursor.fetchone()
        return NO_SUCH_TENANT if row is None or row["facts"] is None else read_facts(row["facts"])

    def unsettled(self) -> int:
        """See the port."""
        return self._lane.unsettled

    async def drain(self, timeout_s: float) -> None:
        """See the port."""
        await self._lane.drain(timeout_s)

    async def ping(self) -> None:
        """See the port."""
        await self._lane.ping()
