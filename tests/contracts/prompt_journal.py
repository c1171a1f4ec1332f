"""What every prompt journal does, on both its sides. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import attrs
import pytest

from domain.ports.prompt_journal import KeptPrompts, NotKept, PromptJournal
from domain.ports.registers import ApiKey, TenantRegister, Unknown
from domain.prompts import Heading, Listed, SealedExchange
from tests.stores import DatabaseClock

NOON = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@attrs.frozen(kw_only=True)
class Looked:
    """An audit row, as far as the contract looks at it."""

    change: str | None
    actor: str | None
    count: int


@attrs.frozen(kw_only=True)
class PromptBench:
    """Both sides of one journal, its register and its clock, and what the audit says."""

    journal: PromptJournal
    kept: KeptPrompts
    register: TenantRegister
    clock: DatabaseClock
    audited: Callable[[str], Awaitable[Sequence[Looked]]]
    """By tenant id: what the operator did and what was lost."""

    async def a_key(self) -> ApiKey:
        tenant = f"t-{secrets.token_hex(4)}"
        await self.register.add_tenant(tenant, actor="test")
        prefix = f"nz_{secrets.token_hex(4)}"
        return await self.register.add_key(
            tenant, name="k", prefix=prefix, secret_hash="h", expires_at=None, actor="test"
        )


def an_entry(key: ApiKey, at: datetime, ttl: timedelta = HOUR, *, hour_key_id: str | None = None) -> SealedExchange:
    return SealedExchange(
        listed=Listed(
            heading=Heading(
                request_id=uuid4().hex,
                tenant_id=key.tenant_id,
                key_id=key.id,
                key_prefix=key.prefix,
                route="/api/chat",
                model="llama3.2:latest",
                streamed=True,
            ),
            at=at,
            expires_at=at + ttl,
            prompt_bytes=17,
            answer_bytes=0,
            prompt_cut=True,
            answer_cut=False,
        ),
        hour_key_id=hour_key_id or uuid4().hex,
        prompt=secrets.token_bytes(45),
        answer=secrets.token_bytes(28),
    )


def id_of(entry: SealedExchange) -> str:
    return entry.listed.heading.request_id


class PromptJournalContract:
    async def test_its_clock_is_the_stores(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)

        assert await bench.journal.now() == NOON

    async def test_what_was_written_comes_back_whole(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        entry = an_entry(await bench.a_key(), NOON)

        await bench.journal.write([entry], lost={})

        assert await bench.kept.entry(id_of(entry), actor="test") == entry

    async def test_written_twice_it_is_there_once(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entry = an_entry(key, NOON)

        await bench.journal.write([entry], lost={})
        await bench.journal.write([entry], lost={})

        found = await bench.kept.entries(key.tenant_name, key_prefix=None, since=None, most=10, actor="test")
        assert found == [entry.listed]

    async def test_it_is_there_until_the_second_it_expires(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entry = an_entry(key, NOON)
        await bench.journal.write([entry], lost={})

        await bench.clock.set(NOON + HOUR - timedelta(microseconds=1))
        assert await bench.kept.entry(id_of(entry), actor="test") == entry
        await bench.clock.set(NOON + HOUR)

        with pytest.raises(NotKept):
            await bench.kept.entry(id_of(entry), actor="test")
        assert await bench.kept.entries(key.tenant_name, key_prefix=None, since=None, most=10, actor="test") == []

    async def test_what_has_expired_before_it_was_written_is_left_out(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        late, good = an_entry(key, NOON - HOUR), an_entry(key, NOON)

        await bench.journal.write([late, good], lost={})

        found = await bench.kept.entries(key.tenant_name, key_prefix=None, since=None, most=10, actor="test")
        assert found == [good.listed]

    async def test_an_unknown_request_is_not_kept(self, bench: PromptBench) -> None:
        with pytest.raises(NotKept):
            await bench.kept.entry(uuid4().hex, actor="test")

    async def test_entries_are_listed_newest_first_as_many_as_asked_and_since_when(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entries = [an_entry(key, NOON - minutes * timedelta(minutes=1), DAY) for minutes in (3, 1, 2)]
        await bench.journal.write(entries, lost={})
        by_age = [entries[1].listed, entries[2].listed, entries[0].listed]

        async def listed(most: int, since: datetime | None) -> Sequence[Listed]:
            return await bench.kept.entries(key.tenant_name, key_prefix=None, since=since, most=most, actor="test")

        assert await listed(10, None) == by_age
        assert await listed(2, None) == by_age[:2]
        assert await listed(10, NOON - timedelta(minutes=2)) == by_age[:2]

    async def test_a_tenant_and_a_key_see_their_own(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        mine, theirs = await bench.a_key(), await bench.a_key()
        second = await bench.register.add_key(
            mine.tenant_name, name="2", prefix="nz_second00", secret_hash="h", expires_at=None, actor="test"
        )
        of_mine, of_second, of_theirs = (an_entry(key, NOON) for key in (mine, second, theirs))
        await bench.journal.write([of_mine, of_second, of_theirs], lost={})

        async def ids(prefix: str | None) -> set[str]:
            found = await bench.kept.entries(mine.tenant_name, key_prefix=prefix, since=None, most=9, actor="test")
            return {one.heading.request_id for one in found}

        assert await ids(None) == {id_of(of_mine), id_of(of_second)}
        assert await ids(second.prefix) == {id_of(of_second)}
        with pytest.raises(Unknown):
            await ids(theirs.prefix)

    async def test_every_look_is_on_record_and_one_at_nothing_is_not(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entry = an_entry(key, NOON)
        await bench.journal.write([entry], lost={})
        before = len(await bench.audited(key.tenant_id))

        await bench.kept.entries(key.tenant_name, key_prefix=key.prefix, since=None, most=9, actor="who lists")
        await bench.kept.entry(id_of(entry), actor="who reads")
        with pytest.raises(NotKept):
            await bench.kept.entry(uuid4().hex, actor="who errs")

        looks = (await bench.audited(key.tenant_id))[before:]
        assert looks == [
            Looked(change="list_prompts", actor="who lists", count=1),
            Looked(change="show_prompt", actor="who reads", count=1),
        ]

    async def test_what_was_lost_is_on_record_by_tenant(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        mine, theirs = await bench.a_key(), await bench.a_key()

        await bench.journal.write([an_entry(mine, NOON)], lost={mine.tenant_id: 3})

        assert (await bench.audited(mine.tenant_id))[-1].count == 3
        assert {row.count for row in await bench.audited(theirs.tenant_id)} == {1}

    async def test_a_hour_key_is_told_from_its_hour_on_until_it_is_forgotten(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entry = an_entry(key, NOON + timedelta(minutes=10), HOUR)  # it expires at 13:10, its hour key ends at 14:00
        await bench.journal.write([entry], lost={})

        await bench.clock.set(NOON + 2 * HOUR - timedelta(microseconds=1))
        assert await bench.journal.purge() == []
        await bench.clock.set(NOON + 2 * HOUR)
        assert await bench.journal.purge() == [entry.hour_key_id]
        assert await bench.journal.purge() == [entry.hour_key_id]
        await bench.journal.forget_keys([entry.hour_key_id])

        assert await bench.journal.purge() == []

    async def test_a_living_hour_key_cannot_be_forgotten_by_mistake_of_another(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        entry = an_entry(await bench.a_key(), NOON, DAY)
        await bench.journal.write([entry], lost={})
        await bench.journal.forget_keys([uuid4().hex])

        await bench.clock.set(NOON + DAY)

        assert await bench.journal.purge() == [entry.hour_key_id]

    async def test_of_many_who_write_at_once_each_is_written(self, bench: PromptBench) -> None:
        await bench.clock.set(NOON)
        key = await bench.a_key()
        entries = [an_entry(key, NOON, nth * DAY + HOUR) for nth in range(8)]

        await asyncio.gather(*(bench.journal.write([entry], lost={}) for entry in entries))

        found = await bench.kept.entries(key.tenant_name, key_prefix=None, since=None, most=10, actor="test")
        assert {one.heading.request_id for one in found} == {id_of(entry) for entry in entries}
