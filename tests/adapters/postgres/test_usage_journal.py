"""Memory and PostgreSQL keep one contract; and what happens while PostgreSQL is away or refuses."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from uuid import uuid4

import attrs
import pytest

from adapters.postgres.usage_journal import PostgresUsageJournal
from tests.adapters.postgres.conftest import Desk
from tests.contracts.usage_journal import JournalBench, JournalContract, Written, a_note
from tests.fakes.registers import Books
from tests.fakes.usage_journal import MemoryUsageJournal
from tests.stores import DatabaseClock


class TestMemory(JournalContract):
    @pytest.fixture
    def bench(self) -> JournalBench:
        books = Books(now=DatabaseClock(None).now)

        async def written() -> list[Written]:
            return [
                Written(event=row.event, code=row.code, tenant_id=row.tenant_id, count=row.count) for row in books.audit
            ]

        return JournalBench(journal=MemoryUsageJournal(books, capacity=1000), written=written)


async def written(desk: Desk) -> list[Written]:
    rows = await desk.rows(
        "select event, code, nullif(tenant_id, '00000000-0000-0000-0000-000000000000')::text, count"
        " from neuronetz.audit where event in ('refused', 'read') and code is distinct from 'notes_lost'"
    )
    return [Written(event=e, code=c, tenant_id=t, count=n) for e, c, t, n in rows]  # type: ignore[arg-type]  # rows


@pytest.fixture
async def desk_journal(desk: Desk) -> AsyncIterator[PostgresUsageJournal]:
    journal = PostgresUsageJournal(desk.pool, clock_s=lambda: 7.0, capacity=1000)
    await journal.start()
    yield journal
    await journal.stop()


@pytest.mark.stores
class TestPostgres(JournalContract):
    @pytest.fixture
    def bench(self, desk: Desk, desk_journal: PostgresUsageJournal) -> JournalBench:
        return JournalBench(journal=desk_journal, written=lambda: written(desk))

    async def test_without_draining_it_is_written_within_half_a_second(self, bench: JournalBench) -> None:
        bench.journal.note(a_note())

        await asyncio.sleep(0.5)

        assert len(await bench.written()) == 1

    async def test_what_was_lost_is_counted(self, bench: JournalBench, desk: Desk) -> None:
        for _ in range(1017):
            bench.journal.note(a_note(event="read"))
        await bench.journal.drain(5)

        rows = await desk.rows("select count from neuronetz.audit where code = 'notes_lost'")

        assert rows == [(17,)]

    async def test_text_that_postgresql_cannot_keep_harms_nobody(self, bench: JournalBench) -> None:
        bench.journal.note(attrs.evolve(a_note(), model="a\0b\\u0000c\ud800"))
        bench.journal.note(a_note())

        assert len(await bench.drained()) == 2

    @pytest.mark.parametrize("key_id", ["no uuid", object()], ids=["refused", "a bug of ours"])
    async def test_a_note_that_cannot_be_written_is_counted_as_lost(
        self, bench: JournalBench, desk: Desk, key_id: str
    ) -> None:
        for _ in range(20):
            bench.journal.note(a_note())
        bench.journal.note(attrs.evolve(a_note(), key_id=key_id))

        lines = await bench.drained()

        assert len(lines) == 20
        assert await desk.rows("select count from neuronetz.audit where code = 'notes_lost'") == [(1,)]

    async def test_while_the_audit_cannot_be_written_notes_wait(self, bench: JournalBench, desk: Desk) -> None:
        await desk.rows("alter table neuronetz.audit rename to audit_away")
        bench.journal.note(a_note(tenant_id=str(uuid4())))
        await bench.journal.drain(0.5)

        await desk.rows("alter table neuronetz.audit_away rename to audit")

        with contextlib.suppress(TimeoutError):
            await bench.journal.drain(5)
        assert len(await bench.written()) == 1


@pytest.mark.stores
async def test_no_text_of_a_note_is_longer_than_a_line(desk: Desk, desk_journal: PostgresUsageJournal) -> None:
    desk_journal.note(attrs.evolve(a_note(), model="x" * 4_000_000))
    await desk_journal.drain(5)

    assert await desk.rows("select model from neuronetz.audit where event = 'refused'") == [("x" * 256,)]
