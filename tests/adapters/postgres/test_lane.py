"""The lane on a real PostgreSQL: lost connections, refusals, closed doors."""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.queues
import pickle
import time
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.lane import Lane, LaneSettings
from adapters.postgres.lane_connection import STATEMENT
from adapters.postgres.ledger_words import batch_words, hold_words, settlement_words
from adapters.postgres.wire import Wire
from domain.budgets import Budgets
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.budget_ledger import Granted, HoldRequest
from domain.settlement import Charge, Outcome
from tests.adapters.postgres.conftest import Desk
from tests.contracts.budget_ledger import LedgerBench, a_hold, an_end

pytestmark = pytest.mark.stores

END_LANES = (
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where application_name like 'neuronetz-lane %%' and datname = current_database()"
)


async def one_call(desk: Desk, hold: HoldRequest, granted: list[str]) -> None:
    """As the gateway does it: whatever becomes of the hold, it is settled."""
    try:
        verdict = await desk.ledger.hold(hold)
    except StoreUnavailable:
        desk.ledger.settle(an_end(hold, outcome=Outcome.NOT_SENT))
        return
    if isinstance(verdict, Granted):
        granted.append(hold.request_id)
        desk.ledger.settle(an_end(hold, Charge(prompt=hold.prompt_tokens, output=verdict.output_tokens)))


async def test_the_same_batch_twice_moves_nothing_twice(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    first, second = a_hold(key), a_hold(key)
    await desk.ledger.hold(first)
    end = settlement_words(an_end(first, Charge(prompt=10, output=5)))
    batch = batch_words(desk.process_id.hex, [end], [hold_words(second)]).decode()

    answers = [await desk.rows(STATEMENT.replace("$1", "%s"), batch) for _ in range(3)]

    assert answers[0] == answers[1] == answers[2]
    assert await desk_bench.total(key) == (15, 100)


async def test_a_hundred_lost_connections_lose_nothing(desk: Desk, desk_bench: LedgerBench) -> None:
    keys = [await desk_bench.a_key(tenant=Budgets(total=10**9)) for _ in range(5)]
    granted: list[str] = []
    stop = asyncio.Event()

    async def work(nth: int) -> None:
        while not stop.is_set():
            await one_call(desk, a_hold(keys[nth % 5]), granted)

    async def cut() -> None:
        for _ in range(100):
            await desk.rows(END_LANES)
            await asyncio.sleep(0.03)
        stop.set()

    await asyncio.gather(cut(), *(work(nth) for nth in range(20)))
    await desk.ledger.drain(10)

    assert desk.ledger.unsettled() == 0
    assert await desk.rows("select 1 from neuronetz.holds") == []
    assert await desk.books_balance()
    rows = await desk.rows(
        "select request_id from neuronetz.audit where event = 'finished' and prompt_tokens + output_tokens > 0"
    )
    assert sorted(UUID(one) for one in granted) == sorted(UUID(str(row[0])) for row in rows)
    assert len(granted) > 100


async def test_a_storm_of_hang_ups_leaves_no_hold_open(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()

    async def hang_up(nth: int) -> None:
        hold = a_hold(key)
        asking = asyncio.create_task(desk.ledger.hold(hold))
        await asyncio.sleep(nth % 20 / 1000)
        asking.cancel()
        desk.ledger.settle(an_end(hold, outcome=Outcome.HUNG_UP))

    await asyncio.gather(*(hang_up(nth) for nth in range(800)))
    await desk.ledger.drain(10)

    assert await desk.rows("select 1 from neuronetz.holds") == []
    assert await desk_bench.total(key) == (0, 0)


def race(url: str, key_words: bytes, wins: multiprocessing.queues.Queue[int]) -> None:
    """One gateway of several: 100 holds at once."""

    async def run() -> int:
        key = pickle.loads(key_words)  # noqa: S301 - our own words
        lane = Lane(DatabaseAddress.read(url), uuid4(), LaneSettings(patience_s=20))
        await lane.start()
        holds = [a_hold(key, prompt=7, output=0) for _ in range(100)]
        verdicts = await asyncio.gather(*(lane.hold(h.request_id, hold_words(h)) for h in holds))
        await lane.stop()
        return sum(isinstance(verdict, Granted) for verdict in verdicts)

    wins.put(asyncio.run(run()))


@pytest.mark.storm
def test_several_gateways_race_for_the_last_tokens_and_none_is_overspent(race_ground: tuple[str, bytes]) -> None:
    url, key_words = race_ground
    spawn = multiprocessing.get_context("spawn")
    wins: multiprocessing.queues.Queue[int] = spawn.Queue()
    gateways = [spawn.Process(target=race, args=(url, key_words, wins)) for _ in range(3)]

    for gateway in gateways:
        gateway.start()
    total = sum(wins.get(timeout=60) for _ in gateways)
    for gateway in gateways:
        gateway.join()
    wins.close()
    wins.join_thread()

    assert total == 142  # of 1,000 tokens, 7 each


async def test_lanes_of_several_gateways_never_wait_in_a_circle(desk: Desk, desk_bench: LedgerBench) -> None:
    keys = [await desk_bench.a_key(tenant=Budgets(daily=5000)) for _ in range(20)]
    lanes = [Lane(desk.address, uuid4(), LaneSettings(patience_s=20)) for _ in range(4)]
    for lane in lanes:
        await lane.start()

    async def work(lane: Lane, nth: int) -> None:
        for turn in range(15):
            hold = a_hold(keys[(nth * 7 + turn * 3) % 20])
            if isinstance(await lane.hold(hold.request_id, hold_words(hold)), Granted):
                lane.settle(hold.request_id, settlement_words(an_end(hold, Charge(prompt=10, output=40))))

    async def reap() -> None:
        for _ in range(20):
            await desk.rows("select neuronetz.reap('1 hour')")
            await asyncio.sleep(0.01)

    await asyncio.gather(reap(), *(work(lane, nth) for lane in lanes for nth in range(20)))
    for lane in lanes:
        await lane.drain(10)
        await lane.stop()

    assert await desk.rows("select 1 from neuronetz.holds") == []
    assert await desk.books_balance()
    assert await desk.rows("select 1 from neuronetz.budget_windows where kind = 0 and used + held > 5000") == []


async def test_a_missing_partition_closes_the_ledger_and_settlements_wait(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    hold = a_hold(key)
    await desk.ledger.hold(hold)
    [(partition,)] = await desk.rows("select tableoid::regclass::text from neuronetz.audit limit 1")
    await desk.rows(f"alter table neuronetz.audit detach partition {partition}")
    await desk.rows(f"alter table {partition} rename to away")

    desk.ledger.settle(an_end(hold, Charge(prompt=1, output=1)))
    with pytest.raises(StoreUnavailable) as refused:
        await desk.ledger.hold(a_hold(key))
    with pytest.raises(StoreUnavailable):
        await desk.ledger.ping()
    unsettled = desk.ledger.unsettled()
    await desk.rows("select neuronetz.make_audit_partitions()")
    await desk.ledger.drain(10)

    assert refused.value.code is FaultCode.LEDGER_UNAVAILABLE
    assert (unsettled, desk.ledger.unsettled()) == (1, 0)
    assert await desk_bench.total(key) == (2, 0)
    await desk.ledger.ping()


@pytest.mark.parametrize("poison", [b'{"tenant_id": "no uuid"}', 7], ids=["refused", "a bug of ours"])
async def test_one_settlement_that_cannot_be_written_does_not_stop_the_others(
    desk: Desk, desk_bench: LedgerBench, poison: bytes
) -> None:
    key = await desk_bench.a_key()
    holds = [a_hold(key) for _ in range(6)]
    for hold in holds:
        await desk.ledger.hold(hold)
    desk.lane.settle("poison", poison)
    for hold in holds:
        desk.ledger.settle(an_end(hold, Charge(prompt=1, output=1)))

    async with asyncio.timeout(20):  # tracebacks take long to write
        while desk.ledger.unsettled() > 1:  # noqa: ASYNC110  it tells nobody, it is looked at
            await asyncio.sleep(0.02)
    verdict = await desk.ledger.hold(a_hold(key))

    assert desk.ledger.unsettled() == 1
    assert verdict == Granted(output_tokens=90)
    assert await desk_bench.total(key) == (12, 100)


async def test_what_cannot_be_said_fails_its_own_caller(desk: Desk, desk_bench: LedgerBench) -> None:
    key = await desk_bench.a_key()
    other = asyncio.create_task(desk.ledger.hold(a_hold(key)))

    with pytest.raises(ValueError, match="so many tokens"):
        await desk.ledger.hold(a_hold(key, prompt=10**15))

    assert await other == Granted(output_tokens=90)


async def test_a_locked_tenant_is_refused_in_time_and_the_hold_is_settled_later(
    desk: Desk, desk_bench: LedgerBench
) -> None:
    key = await desk_bench.a_key()
    hold = a_hold(key)
    async with await psycopg.AsyncConnection.connect(desk.url) as stranger:
        await stranger.execute(
            "select 1 from neuronetz.budget_windows where tenant_id = %s for update", (key.tenant_id,)
        )
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await desk.ledger.hold(hold)
        took_s = time.monotonic() - began
        desk.ledger.settle(an_end(hold, outcome=Outcome.NOT_SENT))
    await desk.ledger.drain(10)

    assert took_s < 1.5
    assert await desk_bench.total(key) == (0, 0)
    assert await desk.rows("select 1 from neuronetz.holds") == []


async def test_without_postgresql_a_hold_is_refused_at_once() -> None:
    lane = Lane(DatabaseAddress.read("postgresql://app:topsecret@127.0.0.1:1/none"), uuid4())
    await lane.start()
    with pytest.raises(StoreUnavailable):
        await lane.ping()

    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await lane.hold("a", b"{}")
    lane.settle("a", b"{}")

    assert time.monotonic() - began < 0.1
    assert "topsecret" not in repr(refused.value)
    assert lane.unsettled == 1
    await lane.drain(0.05)
    await lane.stop()
    with pytest.raises(StoreUnavailable):
        await lane.ping()


async def test_the_successor_of_a_connection_ends_it_first(desk: Desk) -> None:
    of_lane = "select pid from pg_stat_activity where application_name = %s"
    name = f"neuronetz-lane {desk.process_id.hex}"
    await desk.ledger.ping()
    before = await desk.rows(of_lane, name)
    await desk.lane.stop()
    stuck = await Wire.open(
        desk.address,
        name=name,
        settings={},
        first=_hold_the_lock(desk.process_id),
        statement=STATEMENT,
        on_lost=_ignore,
    )

    twin = Lane(desk.address, desk.process_id)
    await twin.start()
    await twin.ping()

    after = await desk.rows(of_lane, name)
    assert len(before) == len(after) == 1
    assert stuck.lost
    await twin.stop()


def _ignore() -> None:
    pass


def _hold_the_lock(process_id: UUID) -> Callable[[psycopg.AsyncConnection], Awaitable[None]]:
    async def first(connection: psycopg.AsyncConnection) -> None:
        key = int.from_bytes(process_id.bytes[:8], "big", signed=True)
        await connection.execute("select pg_advisory_lock(%s)", (key,))

    return first
