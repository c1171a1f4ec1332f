"""Memory and PostgreSQL keep one contract; and what is seen of a database that is not well."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.inspection import PostgresInspection
from domain.faults import StoreUnavailable
from domain.ports.inspection import DatabaseInspection
from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import LedgerBench, a_hold
from tests.contracts.inspection import DatabaseInspectionContract
from tests.fakes.inspection import FakeDatabaseInspection


class TestMemory(DatabaseInspectionContract):
    @pytest.fixture
    def inspection(self) -> DatabaseInspection:
        return FakeDatabaseInspection()


@pytest.mark.stores
class TestPostgres(DatabaseInspectionContract):
    @pytest.fixture
    def inspection(self, database_url: str) -> DatabaseInspection:
        return PostgresInspection(DatabaseAddress.read(database_url))

    async def test_an_empty_database_has_no_revision_and_no_books(self, empty_database_url: str) -> None:
        facts = await PostgresInspection(DatabaseAddress.read(empty_database_url)).look()

        assert (facts.revision, facts.books) == (None, None)

    async def test_a_read_only_database_is_seen_and_not_written(self, database_url: str) -> None:
        name = sql.Identifier(str(conninfo_to_dict(database_url)["dbname"]))
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(sql.SQL("alter database {} set default_transaction_read_only = on").format(name))

        facts = await PostgresInspection(DatabaseAddress.read(database_url)).look()

        assert not facts.writable
        assert facts.commits_ms == ()

    async def test_what_is_open_dead_or_stuck_is_seen(
        self, inspection: DatabaseInspection, desk: Desk, desk_bench: LedgerBench
    ) -> None:
        key = await desk_bench.a_key()
        await desk_bench.ledger.hold(a_hold(key))
        await desk.reap()
        await desk_bench.ledger.hold(a_hold(key))
        await desk.rows("update neuronetz.holds set opened_at = opened_at - interval '2 hours' where state = 'open'")
        for _ in range(2):
            await desk.rows(
                "insert into neuronetz.audit (request_id, event, backend, code)"
                " values (%s, 'finished', 'gpu1', 'backend_timeout')",
                uuid4(),
            )

        books = (await inspection.look()).books

        assert books is not None
        assert books.oldest_hold_s is not None
        assert books.oldest_hold_s > timedelta(hours=2).total_seconds() - 1
        assert (books.reaped, books.timed_out) == (1, {"gpu1": 2})
        assert [sign.silent_s > 60 for sign in books.gateways] == [True]

    async def test_a_database_that_is_away_says_why_and_not_its_password(self) -> None:
        away = PostgresInspection(DatabaseAddress.read("postgresql://u:s3cret@127.0.0.1:1/d"))

        with pytest.raises(StoreUnavailable) as told:
            await away.look()

        assert "refused" in told.value.sentence
        assert "s3cret" not in told.value.sentence
