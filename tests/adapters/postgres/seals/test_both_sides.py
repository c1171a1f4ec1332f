"""Memory and PostgreSQL keep one contract."""

from __future__ import annotations

import pytest

from adapters.postgres.audit_seals import PostgresAuditSeals
from adapters.postgres.sealed_audit import PostgresSealedAudit
from domain.seals import COLUMNS
from tests.adapters.postgres.seals.sealing import Sealing
from tests.contracts.audit_seals import SealBench, SealContract
from tests.fakes.audit_seals import MemoryAudit, MemoryAuditSeals, MemorySealedAudit


class TestMemory(SealContract):
    @pytest.fixture
    def bench(self) -> SealBench:
        audit = MemoryAudit()

        async def write(count: int) -> None:
            audit.write(count)

        return SealBench(seals=MemoryAuditSeals(audit), sealed=MemorySealedAudit(audit), write=write)


@pytest.mark.stores
class TestPostgres(SealContract):
    @pytest.fixture
    def bench(self, sealing: Sealing) -> SealBench:
        async def write(count: int) -> None:
            sealing.write(count)

        return SealBench(seals=PostgresAuditSeals(sealing.pool), sealed=PostgresSealedAudit(sealing.pool), write=write)


@pytest.mark.stores
def test_every_column_of_the_audit_is_sealed(sealing: Sealing) -> None:
    columns = sealing.ask(
        "select attname from pg_attribute where attrelid = 'neuronetz.audit'::regclass and attnum > 0"
        " and not attisdropped order by attnum"
    )

    assert tuple(str(name) for (name,) in columns) == COLUMNS
