"""Memory and PostgreSQL keep one contract; and transactions that commit in another order than they began."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import attrs
import psycopg
import pytest
from psycopg.types.json import Jsonb

from adapters.postgres.audit_reader import PostgresAuditReader
from adapters.postgres.pool import Pool
from domain.ports.audit_reader import AuditFilter, AuditLine, SearchTooLong
from tests.adapters.postgres.conftest import Desk
from tests.contracts.audit_reader import ALL, AuditBench, AuditContract, a_line
from tests.fakes.audit_reader import MemoryAuditReader
from tests.fakes.registers import Books, MemoryTenantRegister
from tests.stores import DatabaseClock

_NAMES = [field.name for field in attrs.fields(AuditLine) if field.name not in ("tenant_name", "tenant_id", "detail")]
_WRITE = (
    f"insert into neuronetz.audit (tenant_id, detail, {', '.join(_NAMES)}) values"  # noqa: S608  names of ours
    f" (coalesce(%(tenant_id)s::uuid, '00000000-0000-0000-0000-000000000000'), %(detail)s,"
    f" {', '.join(f'%({name})s' for name in _NAMES)})"
)


def row(line: AuditLine) -> dict[str, Any]:
    detail = None if line.detail is None else Jsonb(line.detail)
    return attrs.asdict(line) | {"request_id": UUID(line.request_id), "detail": detail}


class TestMemory(AuditContract):
    @pytest.fixture
    def bench(self) -> AuditBench:
        books = Books()
        reader = MemoryAuditReader(books, most_news=3)

        async def write(lines: Sequence[AuditLine]) -> None:
            reader.lines += lines

        return AuditBench(reader=reader, register=MemoryTenantRegister(books), write=write)


@pytest.fixture
def desk_audit(desk: Desk) -> AuditBench:
    async def write(lines: Sequence[AuditLine]) -> None:
        async with await psycopg.AsyncConnection.connect(desk.url) as connection:
            for line in lines:
                await connection.execute(_WRITE.encode(), row(line))

    # Making a tenant writes a line of its own, which the contract does not look at.
    return AuditBench(reader=PostgresAuditReader(desk.pool, most_news=3), register=desk.register, write=write)


@pytest.mark.stores
class TestPostgres(AuditContract):
    @pytest.fixture
    def bench(self, desk_audit: AuditBench) -> AuditBench:
        return desk_audit

    async def test_a_long_transaction_is_told_of_when_it_ends_and_once(self, bench: AuditBench, desk: Desk) -> None:
        place = (await bench.reader.newest(ALL, 9)).place
        late = a_line()
        async with await psycopg.AsyncConnection.connect(desk.url) as slow:
            await slow.execute(_WRITE.encode(), row(late))
            early = await bench.wrote()
            lines, place = await bench.news(place)
            assert [line.request_id for line in lines] == [early.request_id]
            waiting = await bench.wrote()
            await slow.commit()

        lines, place = await bench.news(place)

        assert {line.request_id for line in lines} == {late.request_id, waiting.request_id}
        assert (await bench.news(place))[0] == []

    async def test_a_long_transaction_is_not_missed_between_the_parts_of_much_news(
        self, bench: AuditBench, desk: Desk
    ) -> None:
        place = (await bench.reader.newest(ALL, 9)).place
        late = a_line()
        async with await psycopg.AsyncConnection.connect(desk.url) as slow:
            await slow.execute(_WRITE.encode(), row(late))
            many = [a_line() for _ in range(8)]
            await bench.write(many)
            first = await bench.reader.follow(ALL, place)
            assert first.more
            await slow.commit()

        rest, place = await bench.news(first.place)
        last, place = await bench.news(place)

        told = [line.request_id for line in (*first.lines, *rest, *last)]
        assert sorted(told) == sorted(line.request_id for line in (*many, late))

    async def test_what_is_rolled_back_is_never_told_of(self, bench: AuditBench, desk: Desk) -> None:
        place = (await bench.reader.newest(ALL, 9)).place
        async with await psycopg.AsyncConnection.connect(desk.url) as slow:
            await slow.execute(_WRITE.encode(), row(a_line()))
            _, place = await bench.news(place)
            await slow.rollback()

        assert (await bench.news(place))[0] == []

    async def test_many_writers_that_end_in_any_order_are_told_of_exactly(self, bench: AuditBench, desk: Desk) -> None:
        place = (await bench.reader.newest(ALL, 9)).place
        written: list[str] = []
        told: list[str] = []

        async def writer(seed: int) -> None:
            chance = random.Random(seed)  # noqa: S311  an order, no secret
            async with await psycopg.AsyncConnection.connect(desk.url) as connection:
                for _ in range(12):
                    lines = [a_line(at=datetime.now(UTC)) for _ in range(chance.randint(1, 3))]
                    for line in lines:
                        await connection.execute(_WRITE.encode(), row(line))
                        await asyncio.sleep(chance.random() / 200)
                    if chance.random() < 0.2:
                        await connection.rollback()
                        continue
                    await connection.commit()
                    written.extend(line.request_id for line in lines)

        writers = asyncio.gather(*(writer(seed) for seed in range(6)))
        while not writers.done():
            lines, place = await bench.news(place)
            told += [line.request_id for line in lines]
        await writers
        lines, _ = await bench.news(place)
        told += [line.request_id for line in lines]

        assert len(told) == len(set(told))
        assert sorted(told) == sorted(written)

    async def test_a_tenants_line_is_found_by_its_key_without_reading_the_others(
        self, bench: AuditBench, desk: Desk
    ) -> None:
        tenant = await bench.a_tenant()
        await desk.rows(
            "insert into neuronetz.audit (tenant_id, event) select %s, 'read' from generate_series(1, 3000)", uuid4()
        )
        line = await bench.wrote(tenant=tenant)

        assert (await bench.reader.newest(AuditFilter(tenant_name=tenant.name, event="finished"), 5)).lines == [line]
        assert len(await bench.everything(AuditFilter(event="read"))) == 3000

    async def test_after_a_restore_on_another_server_the_former_lines_are_there(
        self, bench: AuditBench, desk: Desk
    ) -> None:
        now = datetime.now(UTC)
        for at in (now - timedelta(days=31), now):  # so that the former month has its partition
            await DatabaseClock(desk.url).set(at)
        old = a_line(at=now - timedelta(days=31))
        await bench.write([old])
        await desk.rows("alter table neuronetz.audit disable trigger user")
        await desk.rows("update neuronetz.audit set xid = '9000000000000' where request_id = %s", UUID(old.request_id))
        new = await bench.wrote()

        newest = await bench.reader.newest(ALL, 9)

        assert [line.request_id for line in newest.lines] == [old.request_id, new.request_id]
        assert [line.request_id for line in await bench.everything()] == [old.request_id, new.request_id]
        assert (await bench.news(newest.place))[0] == []

    async def test_no_transaction_is_open_while_somebody_writes_the_lines_down(
        self, bench: AuditBench, desk: Desk
    ) -> None:
        await bench.wrote_some(3)
        pages = bench.reader.everything(ALL)

        while not (await anext(pages)).lines:
            pass

        assert (
            await desk.rows(
                "select pid from pg_stat_activity where datname = current_database() and state like 'idle in %%'"
            )
            == []
        )

    async def test_everything_comes_once_however_much_one_instant_has(self, bench: AuditBench, desk: Desk) -> None:
        at = datetime.now(UTC)
        lines = [*await bench.wrote_some(7), *(a_line(at=at) for _ in range(90))]
        await bench.write(lines[7:])
        later = await bench.wrote_some(5)
        reader = PostgresAuditReader(desk.pool, page=3)

        pages = [page async for page in reader.everything(ALL)]

        found = [line for page in pages for line in page.lines]
        assert sorted(line.request_id for line in found) == sorted(line.request_id for line in (*lines, *later))
        assert [line.at for line in found] == sorted(line.at for line in found)
        assert [page.passed for page in pages] == sorted(page.passed for page in pages)
        assert max(len(page.lines) for page in pages) == 3

    async def test_progress_counts_from_the_first_line_not_from_the_month(self, bench: AuditBench, desk: Desk) -> None:
        at = datetime.now(UTC)
        await bench.write([a_line(at=at - timedelta(seconds=ago)) for ago in (3, 2, 1)])
        reader = PostgresAuditReader(desk.pool, page=1)

        pages = [page async for page in reader.everything(AuditFilter(event="finished"))]

        first = next(page for page in pages if page.lines)
        assert first.passed < 0.1

    async def test_a_search_that_postgresql_breaks_off_is_told_as_one(self, bench: AuditBench, desk: Desk) -> None:
        await bench.wrote_some(1)
        hasty = Pool(desk.address, statement_timeout_ms=200)
        async with await psycopg.AsyncConnection.connect(desk.url) as holder:
            await holder.execute("lock table neuronetz.audit in access exclusive mode")
            with pytest.raises(SearchTooLong):
                await PostgresAuditReader(hasty).newest(ALL, 9)
        await hasty.close()
