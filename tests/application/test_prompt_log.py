"""Keeping prompts: what a call hands over, how it is sealed and written, what is lost, and what is forgotten when."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from application.prompt_keys import PromptKeys
from application.prompt_log import PromptLog
from application.prompt_purge import PromptPurge
from application.prompt_sealing import Sealing
from application.read_prompts import Altered, HourKeyGone, Opened, OtherSecret, ReadPrompts
from domain.prompts import Exchange, Heading, Kept, SealedExchange
from tests.fakes.encryption import FakeEncryption
from tests.fakes.hour_keys import MemoryHourKeys
from tests.fakes.prompt_journal import MemoryPromptJournal
from tests.fakes.registers import Books
from tests.fakes.surroundings import FakeClock, FakeEntropy

HOUR_S = 3600.0


@attrs.define
class Desk:
    """One process's prompt log over fakes, all on one clock that starts at 10:10."""

    clock: FakeClock
    books: Books
    journal: MemoryPromptJournal
    hour_keys: MemoryHourKeys
    encryption: FakeEncryption
    keys: PromptKeys
    log: PromptLog
    purge: PromptPurge

    @classmethod
    def of(cls, *, most_waiting_bytes: int = 10_000) -> Desk:
        clock = FakeClock(datetime(2027, 1, 31, 10, 10, tzinfo=UTC).timestamp())
        books = Books(now=clock.now)
        journal, hour_keys, encryption = MemoryPromptJournal(books), MemoryHourKeys(clock.now), FakeEncryption()
        keys = PromptKeys(hour_keys=hour_keys, encryption=encryption, entropy=FakeEntropy(), clock=clock)
        sealing = Sealing(keys=keys, encryption=encryption)
        log = PromptLog(journal=journal, sealing=sealing, clock=clock, most_waiting_bytes=most_waiting_bytes)
        purge = PromptPurge(journal=journal, hour_keys=hour_keys, keys=keys)
        return cls(clock, books, journal, hour_keys, encryption, keys, log, purge)

    def exchange(self, nth: int = 0, *, tenant: str = "t", ttl_s: int = 3600, text: bytes = b"canary") -> Exchange:
        return Exchange(
            heading=Heading(
                request_id=f"{nth:032x}",
                tenant_id=tenant,
                key_id="k",
                key_prefix="nz_abcd1234",
                route="/api/chat",
                model="m",
                streamed=True,
            ),
            ttl_s=ttl_s,
            ended_s=self.clock.monotonic_s(),
            prompt=Kept(text, cut=False),
            answer=Kept(b"and back", cut=True),
        )

    async def written(self) -> bool:
        return await self.log._write_all(again=False)

    def reading(self, encryption: FakeEncryption | None = None) -> ReadPrompts:
        return ReadPrompts(
            kept=self.journal, hour_keys=self.hour_keys, encryption=encryption or self.encryption, actor="op"
        )

    async def read(self, nth: int = 0) -> Opened:
        return await self.reading().one(f"{nth:032x}")

    def row(self, nth: int = 0) -> SealedExchange:
        return self.journal.rows[f"{nth:032x}"]

    @property
    def lost_by_audit(self) -> dict[str | None, int]:
        return {row.tenant_id: row.count for row in self.books.audit if row.code == "prompts_lost"}


# -- kept and read --------------------------------------------------------------------------------------------------


async def test_what_is_kept_can_be_read_as_it_was() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())

    assert await desk.written()

    opened = await desk.read()
    assert (opened.prompt, opened.answer) == (b"canary", b"and back")
    assert (opened.listed.prompt_cut, opened.listed.answer_cut) == (False, True)


async def test_neither_store_has_a_word_of_it() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()

    row = desk.row()
    stored = b"".join([row.prompt, row.answer, *(key.wrapped for key in desk.hour_keys.stored.values())])

    assert b"canary" not in stored
    assert b"and back" not in stored
    assert "canary" not in repr(await desk.read())
    assert all(held.key not in stored for held in desk.keys.held)


async def test_it_expires_its_time_after_the_call_ended_however_long_it_waited() -> None:
    desk = Desk.of()
    ended = desk.clock.now()
    desk.log.keep(desk.exchange())
    desk.clock.advance(600)

    await desk.written()

    listed = desk.row().listed
    assert (listed.at, listed.expires_at) == (ended, ended + timedelta(hours=1))


async def test_what_expired_while_it_waited_is_lost_and_told() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    desk.clock.advance(HOUR_S)

    assert await desk.written()

    assert desk.journal.rows == {}
    assert desk.log.lost == 1
    assert desk.lost_by_audit == {"t": 1}


async def test_rows_that_were_swapped_do_not_open() -> None:
    desk = Desk.of()
    for nth in range(2):
        desk.log.keep(desk.exchange(nth))
    desk.log.keep(desk.exchange(2, tenant="another"))
    await desk.written()
    first, second = desk.row(0), desk.row(1)

    for wrong in (
        attrs.evolve(first, prompt=second.prompt),
        attrs.evolve(first, prompt=first.answer, answer=first.prompt),
        attrs.evolve(first, answer=desk.row(2).answer),
    ):
        desk.journal.rows[first.listed.heading.request_id] = wrong
        with pytest.raises(Altered):
            await desk.read()


@pytest.mark.parametrize(
    "lie",
    [{"key_id": "k2"}, {"key_prefix": "nz_anothers"}, {"model": "n"}, {"route": "/api/embed"}, {"streamed": False}],
)
async def test_a_row_that_says_another_key_or_call_does_not_open(lie: dict[str, Any]) -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()
    row = desk.row()
    heading = attrs.evolve(row.listed.heading, **lie)

    desk.journal.rows[heading.request_id] = attrs.evolve(row, listed=attrs.evolve(row.listed, heading=heading))

    with pytest.raises(Altered):
        await desk.read()


async def test_with_another_secret_it_does_not_open_and_with_a_former_one_behind_it_does() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()

    with pytest.raises(OtherSecret):
        await desk.reading(FakeEncryption([b"another"])).one("0" * 32)
    assert (await desk.reading(FakeEncryption([b"another", b"a secret"])).one("0" * 32)).prompt == b"canary"


async def test_a_wrapped_key_does_not_open_under_anothers_name() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange(0))
    desk.log.keep(desk.exchange(1, ttl_s=7200))
    await desk.written()
    one, two = desk.row(0).hour_key_id, desk.row(1).hour_key_id

    desk.hour_keys.stored[one] = attrs.evolve(desk.hour_keys.stored[two], id=one)

    with pytest.raises(OtherSecret):
        await desk.read(0)


# -- hour keys ------------------------------------------------------------------------------------------------------


async def test_what_expires_in_one_hour_has_one_key_and_another_hour_another() -> None:
    desk = Desk.of()
    for nth, ttl_s in enumerate((3600, 3600 + 49 * 60, 3600 + 51 * 60)):
        desk.log.keep(desk.exchange(nth, ttl_s=ttl_s))
    await desk.written()

    assert desk.row(0).hour_key_id == desk.row(1).hour_key_id != desk.row(2).hour_key_id
    assert {key.ends_at.hour for key in desk.hour_keys.stored.values()} == {12, 13}


async def test_no_key_is_used_before_its_store_has_it() -> None:
    desk = Desk.of()
    desk.hour_keys.away = True
    desk.log.keep(desk.exchange())

    assert not await desk.written()
    assert desk.journal.rows == {}
    assert desk.keys.held == []

    desk.hour_keys.away = False
    assert await desk.written()
    assert (await desk.read()).prompt == b"canary"


async def test_a_store_that_lost_its_memory_is_healed_by_the_next_step() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()
    desk.hour_keys.stored.clear()
    with pytest.raises(HourKeyGone):
        await desk.read()

    await desk.purge.step()

    assert (await desk.read()).prompt == b"canary"


async def test_a_key_is_destroyed_everywhere_at_its_hour_and_not_before() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()

    desk.clock.advance(110 * 60 - 1)  # 11:59:59
    await desk.purge.step()
    assert len(desk.hour_keys.stored) == len(desk.keys.held) == 1

    desk.clock.advance(1)
    await desk.purge.step()

    assert desk.hour_keys.stored == {}
    assert desk.keys.held == []
    assert await desk.journal.purge() == []


async def test_a_process_that_keeps_nothing_itself_purges_for_others() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()
    desk.clock.advance(2 * HOUR_S)

    await PromptPurge(journal=desk.journal, hour_keys=desk.hour_keys, keys=None).step()

    assert desk.hour_keys.stored == {}


async def test_keys_that_could_not_be_destroyed_are_destroyed_by_the_next_step() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()
    desk.clock.advance(2 * HOUR_S)
    stored = dict(desk.hour_keys.stored)
    desk.hour_keys.away = True
    with pytest.raises(Exception, match="Redis"):
        await desk.purge.step()

    desk.hour_keys.away, desk.hour_keys.stored = False, stored
    await desk.purge.step()

    assert desk.hour_keys.stored == {}


async def test_a_key_is_forgotten_at_its_hour_even_while_postgresql_is_away() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()
    desk.books.unavailable = True
    desk.clock.advance(110 * 60)

    with pytest.raises(Exception, match="PostgreSQL"):
        await desk.purge.step()

    assert desk.keys.held == []


async def test_an_expired_entry_is_refused_before_any_purge() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.written()
    desk.clock.advance(HOUR_S)

    with pytest.raises(LookupError):
        await desk.read()


# -- bounds, losses, outages ----------------------------------------------------------------------------------------


async def test_what_does_not_fit_is_lost_newest_first_and_told_by_tenant() -> None:
    desk = Desk.of(most_waiting_bytes=3 * 2000)
    for nth in range(5):
        desk.log.keep(desk.exchange(nth, tenant="ab"[nth % 2], text=b"x" * 900))

    assert await desk.written()

    assert [int(name, 16) for name in desk.journal.rows] == [0, 1, 2]
    assert desk.log.lost == 2
    assert desk.lost_by_audit == {"a": 1, "b": 1}
    desk.log.keep(desk.exchange(9))
    assert await desk.written()
    assert desk.lost_by_audit == {"a": 1, "b": 1}


async def test_many_empty_ones_are_bounded_too() -> None:
    desk = Desk.of(most_waiting_bytes=100_000)
    for nth in range(1000):
        desk.log.keep(desk.exchange(nth, text=b""))

    assert desk.log.lost > 800


async def test_while_postgresql_is_away_they_wait_and_then_are_written_once() -> None:
    desk = Desk.of()
    desk.books.unavailable = True
    desk.log.keep(desk.exchange())
    assert not await desk.written()
    assert not await desk.written()

    desk.books.unavailable = False

    assert await desk.written()
    assert desk.journal.writes == 1
    assert (await desk.read()).prompt == b"canary"


async def test_a_batch_is_sealed_once_however_often_it_is_written() -> None:
    desk = Desk.of()
    desk.log.keep(desk.exchange())
    await desk.log._seal_some()
    (sealed,) = desk.log._sealed
    desk.books.unavailable = True
    assert not await desk.written()
    desk.books.unavailable = False

    await desk.written()

    assert desk.row() is sealed


async def test_what_will_never_be_taken_is_lost_and_told_and_the_rest_goes_on() -> None:
    desk = Desk.of()
    desk.journal.unwritable = True
    desk.log.keep(desk.exchange())

    assert await desk.written()

    assert desk.lost_by_audit == {"t": 1}
    desk.journal.unwritable = False
    desk.log.keep(desk.exchange(1))
    assert await desk.written()
    assert (await desk.read(1)).prompt == b"canary"


async def test_draining_waits_until_all_is_written_and_no_longer_than_it_may() -> None:
    desk = Desk.of()
    running = asyncio.create_task(desk.log.run())
    desk.log.keep(desk.exchange())
    await desk.log.drain(5)
    assert len(desk.journal.rows) == 1

    desk.books.unavailable = True
    desk.log.keep(desk.exchange(1))
    await desk.log.drain(0.01)

    assert len(desk.journal.rows) == 1
    running.cancel()
