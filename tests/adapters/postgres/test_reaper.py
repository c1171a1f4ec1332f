"""Holds of processes that died: one charge, whoever reaps, and however many do."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from domain.settlement import Charge
from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import START, LedgerBench, a_hold, an_end

pytestmark = pytest.mark.stores


async def test_two_reapers_at_once_charge_once(desk: Desk, desk_bench: LedgerBench) -> None:
    keys = [await desk_bench.a_key() for _ in range(10)]
    await asyncio.gather(*(desk.ledger.hold(a_hold(key)) for key in keys for _ in range(20)))
    await desk.rows("update neuronetz.processes set beat_at = now() - interval '2 minutes'")

    async def reap_all() -> int:
        total = 0
        for _ in range(12):
            total += int(str((await desk.rows("select neuronetz.reap('1 minute', 30)"))[0][0]))
        return total

    closed = await asyncio.gather(reap_all(), reap_all(), reap_all())

    assert sum(closed) == 200
    assert [await desk_bench.total(key) for key in keys] == [(2000, 0)] * 10
    assert await desk.books_balance()


async def test_a_living_process_keeps_its_holds(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    await desk.ledger.hold(a_hold(key))

    assert await desk.rows("select neuronetz.reap('1 minute')") == [(0,)]


async def test_the_holds_of_a_process_nobody_knows_are_reaped_once_they_are_old(
    desk: Desk, desk_bench: LedgerBench
) -> None:
    await desk_bench.clock.set(START)
    key = await desk_bench.a_key()
    await desk.ledger.hold(a_hold(key))
    await desk.rows("delete from neuronetz.processes")
    young = await desk.rows("select neuronetz.reap('1 minute')")

    await desk_bench.clock.advance(timedelta(seconds=61))

    assert young == [(0,)]
    assert await desk.rows("select neuronetz.reap('1 minute')") == [(1,)]


async def test_a_settlement_that_meets_the_reaper_counts_once(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    holds = [a_hold(key) for _ in range(100)]
    await asyncio.gather(*(desk.ledger.hold(hold) for hold in holds))
    await desk.rows("update neuronetz.processes set beat_at = now() - interval '2 minutes'")

    reaping = [asyncio.create_task(desk.rows("select neuronetz.reap('1 minute', 20)")) for _ in range(8)]
    for hold in holds:
        desk.ledger.settle(an_end(hold, Charge(prompt=1, output=2)))
        await asyncio.sleep(0)
    await asyncio.gather(*reaping)
    await desk.ledger.drain(10)

    assert await desk_bench.total(key) == (300, 0)
    assert await desk.books_balance()


async def test_a_reaped_hold_is_forgotten_after_a_day(desk: Desk, desk_bench: LedgerBench) -> None:
    await desk_bench.clock.set(START)
    key = await desk_bench.a_key()
    hold = a_hold(key)
    await desk.ledger.hold(hold)
    await desk_bench.reap()
    await desk.rows("select neuronetz.forget_the_dead('1 minute')")
    kept = await desk.rows("select state from neuronetz.holds")

    await desk_bench.clock.advance(timedelta(hours=24, seconds=1))
    await desk.rows("select neuronetz.forget_the_dead('1 minute')")

    assert kept == [("reaped",)]
    assert await desk.rows("select 1 from neuronetz.holds") == []
    assert await desk_bench.total(key) == (100, 0)


async def test_a_dead_process_is_forgotten_when_it_holds_nothing(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    await desk.ledger.hold(a_hold(key))
    await desk.rows("update neuronetz.processes set beat_at = now() - interval '2 minutes'")
    await desk.rows("select neuronetz.forget_the_dead('1 minute')")
    while_holding = await desk.rows("select 1 from neuronetz.processes")

    await desk_bench.reap()
    await desk.rows("select neuronetz.forget_the_dead('1 minute')")

    assert while_holding == [(1,)]
    assert await desk.rows("select 1 from neuronetz.processes") == []
