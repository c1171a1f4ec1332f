"""Memory and PostgreSQL keep one contract; and the partitions: made when needed, dropped when their day is over."""

from __future__ import annotations

import asyncio
from uuid import UUID

import attrs
import psycopg
import pytest

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.kept_prompts import PostgresKeptPrompts
from adapters.postgres.pool import Pool
from adapters.postgres.prompt_journal import PostgresPromptJournal
from domain.faults import StoreUnavailable
from domain.ports.prompt_journal import Unwritable
from tests.adapters.postgres.conftest import Desk
from tests.contracts.prompt_journal import DAY, HOUR, NOON, Looked, PromptBench, PromptJournalContract, an_entry, id_of
from tests.fakes.prompt_journal import MemoryPromptJournal
from tests.fakes.registers import Books, MemoryTenantRegister
from tests.logins import login_in
from tests.stores import DatabaseClock

PARTITIONS = """
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'neuronetz.prompts'::regclass order by 1
"""


class TestMemory(PromptJournalContract):
    @pytest.fixture
    def bench(self) -> PromptBench:
        clock = DatabaseClock(None)
        books = Books(now=clock.now)
        journal = MemoryPromptJournal(books)

        async def audited(tenant_id: str) -> list[Looked]:
            return [
                Looked(change=row.change or row.code, actor=row.actor, count=row.count)
                for row in books.audit
                if row.tenant_id == tenant_id and row.event == "admin"
            ]

        register = MemoryTenantRegister(books)
        return PromptBench(journal=journal, kept=journal, register=register, clock=clock, audited=audited)


@pytest.fixture
def desk_prompts(desk: Desk) -> PromptBench:
    async def audited(tenant_id: str) -> list[Looked]:
        rows = await desk.rows(
            "select detail->>'change', actor, count from neuronetz.audit where tenant_id = %s and event = 'admin'"
            " order by xid",
            UUID(tenant_id),
        )
        return [Looked(change=str(change), actor=str(actor), count=int(str(count))) for change, actor, count in rows]

    return PromptBench(
        journal=PostgresPromptJournal(desk.pool),
        kept=PostgresKeptPrompts(desk.pool),
        register=desk.register,
        clock=DatabaseClock(desk.url),
        audited=audited,
    )


@pytest.mark.stores
class TestPostgres(PromptJournalContract):
    @pytest.fixture
    def bench(self, desk_prompts: PromptBench) -> PromptBench:
        return desk_prompts

    async def test_a_day_goes_with_all_its_rows_when_it_is_over(self, bench: PromptBench, desk: Desk) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        today, tomorrow = an_entry(key, NOON), an_entry(key, NOON, DAY)
        await bench.journal.write([today, tomorrow], lost={})
        assert await desk.rows(PARTITIONS) == [("prompts_2027_03_14",), ("prompts_2027_03_15",)]

        await bench.clock.set(NOON.replace(hour=0) + DAY)
        await bench.journal.purge()

        assert await desk.rows(PARTITIONS) == [("prompts_2027_03_15",)]
        assert await desk.rows("select request_id from neuronetz.prompts") == [(UUID(id_of(tomorrow)),)]

    async def test_who_reads_a_day_is_not_disturbed_and_holds_nobody_up(self, bench: PromptBench, desk: Desk) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        await bench.journal.write([an_entry(key, NOON)], lost={})
        await bench.clock.set(NOON + DAY)
        async with await psycopg.AsyncConnection.connect(desk.url) as reader:
            await reader.execute("select count(*) from neuronetz.prompts")  # and its transaction stays open

            await bench.journal.purge()
            await bench.journal.write([an_entry(key, NOON + DAY)], lost={})

        assert ("prompts_2027_03_14",) in await desk.rows(PARTITIONS)
        await bench.journal.purge()
        assert ("prompts_2027_03_14",) not in await desk.rows(PARTITIONS)

    async def test_of_several_gateways_one_purges(self, bench: PromptBench, desk: Desk) -> None:
        await bench.clock.set(NOON)
        entry = an_entry(await bench.a_key(), NOON)
        await bench.journal.write([entry], lost={})
        await bench.clock.set(NOON + DAY)
        async with await psycopg.AsyncConnection.connect(desk.url) as other:
            await other.execute("select neuronetz.purge_prompts()")

            assert await bench.journal.purge() == []

        assert await bench.journal.purge() == [entry.hour_key_id]

    async def test_nobody_else_can_lock_the_forgetting_or_the_writing(self, bench: PromptBench, desk: Desk) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entry, next_day = an_entry(key, NOON), an_entry(key, NOON, DAY)
        await bench.journal.write([entry], lost={})
        await bench.clock.set(NOON + HOUR)
        with login_in("neuronetz_reader", desk.url) as url:
            async with await psycopg.AsyncConnection.connect(url) as reader:
                for name in ("purge_prompts", "make_prompt_partition"):
                    await reader.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (f"neuronetz.{name}",))

                await bench.journal.write([next_day], lost={})

                assert await bench.journal.purge() == [entry.hour_key_id]

    async def test_a_year_of_days_is_purged_and_new_ones_are_made_at_once(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        await bench.journal.write([an_entry(key, NOON, nth * DAY + HOUR) for nth in range(20)], lost={})
        await bench.clock.set(NOON + 30 * DAY)
        late = [an_entry(key, NOON + 30 * DAY, nth * DAY + HOUR) for nth in range(4)]

        await asyncio.gather(
            bench.journal.purge(), *(bench.journal.write([one], lost={}) for one in late), bench.journal.purge()
        )

        found = await bench.kept.entries(key.tenant_name, key_prefix=None, since=None, most=50, actor="test")
        assert {one.heading.request_id for one in found} == set(map(id_of, late))

    async def test_what_postgresql_will_never_take_is_told_apart(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        entry = an_entry(await bench.a_key(), NOON)
        heading = attrs.evolve(entry.listed.heading, tenant_id="no uuid")
        bad = attrs.evolve(entry, listed=attrs.evolve(entry.listed, heading=heading))

        with pytest.raises(Unwritable):
            await bench.journal.write([entry, bad], lost={})

        await bench.journal.write([entry], lost={})

    async def test_while_the_table_is_away_that_is_told(self, bench: PromptBench, desk: Desk) -> None:
        await bench.clock.set(NOON)
        entry = an_entry(await bench.a_key(), NOON)
        await desk.rows("alter table neuronetz.prompts rename to prompts_away")

        with pytest.raises(StoreUnavailable):
            await bench.journal.write([entry], lost={})


@pytest.mark.stores
@pytest.mark.parametrize("seconds", [0, 3599, 365 * 86_400 + 1])
async def test_a_time_to_live_out_of_bounds_cannot_be_set_by_sql_either(
    desk: Desk, desk_prompts: PromptBench, seconds: int
) -> None:
    key = await desk_prompts.a_key()

    with pytest.raises(psycopg.errors.CheckViolation):
        await desk.rows("update neuronetz.api_keys set prompt_log_ttl_s = %s where prefix = %s", seconds, key.prefix)


@pytest.mark.stores
async def test_a_time_to_live_set_by_sql_raises_the_generation(desk: Desk, desk_prompts: PromptBench) -> None:
    key = await desk_prompts.a_key()

    await desk.rows("update neuronetz.api_keys set prompt_log_ttl_s = 3600 where prefix = %s", key.prefix)

    changed = await desk.register.key(key.prefix)
    assert (changed.generation, changed.prompt_log_ttl_s) == (key.generation + 1, 3600)


@pytest.mark.stores
async def test_strangers_cannot_call_what_runs_in_the_owners_name(desk: Desk) -> None:
    names = ("make_prompt_partition", "write_prompts", "purge_prompts", "forget_hour_keys")
    rows = await desk.rows(
        "select p.proname, coalesce(bool_or(a.grantee = 0), false) from pg_proc p, aclexplode(p.proacl) a"
        " where p.pronamespace = 'neuronetz'::regnamespace and p.proname = any (%s) group by 1",
        list(names),
    )

    assert dict(rows) == dict.fromkeys(names, False)  # type: ignore[arg-type]  # rows know no types


@pytest.mark.stores
async def test_lost_exchanges_are_written_with_their_own_code(desk: Desk, desk_prompts: PromptBench) -> None:
    key = await desk_prompts.a_key()

    await desk_prompts.journal.write([], lost={key.tenant_id: 5})

    rows = await desk.rows("select tenant_id, count, actor from neuronetz.audit where code = 'prompts_lost'")
    assert rows == [(UUID(key.tenant_id), 5, "gateway")]


@pytest.mark.stores
async def test_a_gateway_that_owns_nothing_writes_and_purges_and_reads_nothing(
    desk: Desk, desk_prompts: PromptBench
) -> None:
    await desk_prompts.clock.set(NOON)
    entry = an_entry(await desk_prompts.a_key(), NOON)
    with login_in("neuronetz_gateway", desk.url) as url:
        pool = Pool(DatabaseAddress.read(url))
        journal, kept = PostgresPromptJournal(pool), PostgresKeptPrompts(pool)

        await journal.write([entry], lost={entry.listed.heading.tenant_id: 1})
        with pytest.raises(StoreUnavailable):
            await kept.entry(id_of(entry), actor="a gateway")
        await desk_prompts.clock.set(NOON + 2 * DAY)
        dead = await journal.purge()
        await journal.forget_keys(dead)
        await pool.close()

    assert dead == [entry.hour_key_id]
    assert await desk.rows(PARTITIONS) == []
