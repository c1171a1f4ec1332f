"""When the store is lost, late or forgetful: no turn is given on a guess, and none is kept that nobody has."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import redis.asyncio

from adapters.redis import names
from adapters.redis.scripts import Scripts
from adapters.redis.subscriber import Subscriber
from adapters.redis.turns import RedisTurns
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.turns import TurnStanding
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.adapters.redis.turn_processes import Processes
from tests.contracts.turns import A, ended, in_line, left, until
from tests.faults.line import FaultyLine

pytestmark = pytest.mark.stores

NOWHERE = "unix:///nowhere"


@pytest.fixture
async def processes(own_valkey: ValkeyUnderTest, scripts: Scripts) -> AsyncIterator[Processes]:
    async with Processes(own_valkey.url, scripts) as processes:
        yield processes


@pytest.fixture
async def plain(own_valkey: ValkeyUnderTest) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(own_valkey.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def line(own_valkey: ValkeyUnderTest) -> Iterator[FaultyLine]:
    with FaultyLine(own_valkey.socket_path, own_valkey.directory / "near.sock") as line:
        yield line


async def join(processes: Processes, *, subscribed_at: str | None = None, most: int = 1) -> RedisTurns:
    return await processes.join({"a": most}, depth=20, wait_s=20, subscribed_at=subscribed_at)


async def soon(reached: Callable[[], Awaitable[object]]) -> None:
    """Polls until it is so."""
    for _ in range(1000):
        if await reached():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it did not happen")


async def renewed(turns: RedisTurns) -> None:
    """As soon as the store answers again."""
    for _ in range(500):
        try:
            await turns.standing()
        except StoreUnavailable:
            await asyncio.sleep(0.01)
        else:
            await turns.renew()
            return
    pytest.fail("the lane did not come back")


async def test_a_message_that_is_lost_only_costs_time(processes: Processes) -> None:
    deaf, other = await join(processes, subscribed_at=NOWHERE), await join(processes)
    first = await other.take(A)
    waiter = await in_line(deaf)

    other.give_back(first)
    await until(other, waiting=0, a=1)
    assert not waiter.done()
    await deaf.renew()

    await ended(waiter)
    assert deaf.in_flight == {"a": 1}


async def test_a_turn_that_was_granted_unheard_is_free_again_when_its_waiter_leaves(processes: Processes) -> None:
    deaf, other = await join(processes, subscribed_at=NOWHERE), await join(processes)
    first = await other.take(A)
    waiter = await in_line(deaf)
    other.give_back(first)
    await until(other, waiting=0, a=1)

    await left(waiter)

    await until(other, waiting=0, a=0)


async def test_a_turn_that_nobody_heard_of_in_time_is_given_again(processes: Processes) -> None:
    """Its lease ran out, and its waiter is still there: it is back in line, at its place."""
    deaf, other = await join(processes, subscribed_at=NOWHERE), await join(processes)
    first = await other.take(A)
    waiter = await in_line(deaf)
    other.give_back(first)
    await until(other, waiting=0, a=1)
    processes.clock.advance(31)

    await deaf.renew()

    await ended(waiter)
    await until(other, waiting=0, a=1)


async def _listeners(plain: redis.asyncio.Redis) -> list[str]:
    return [each["id"] for each in await plain.client_list(_type="pubsub") if each["sub"] == "1"]


async def test_a_subscriber_that_was_cut_off_hears_again(processes: Processes, plain: redis.asyncio.Redis) -> None:
    turns = await join(processes)
    first = await turns.take(A)
    waiter = await in_line(turns)
    [before] = await _listeners(plain)
    await plain.client_kill_filter(_id=before)

    async def another() -> bool:
        return await _listeners(plain) not in ([], [before])

    await soon(another)
    turns.give_back(first)

    await ended(waiter)


@contextlib.asynccontextmanager
async def subscribed(url: str, scripts: Scripts, heard: list[bytes], *, silence_s: float) -> AsyncIterator[None]:
    subscriber = Subscriber(url, scripts, channel="c", heard=heard.append, silence_s=silence_s)
    running = asyncio.create_task(subscriber.run())
    yield
    running.cancel()
    await asyncio.wait([running])


async def test_a_subscriber_notices_a_connection_that_is_dead(
    line: FaultyLine, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    heard: list[bytes] = []

    async def hears() -> bool:
        return bool(await plain.publish("c", "word") and heard)

    async def is_gone() -> bool:
        return await _listeners(plain) == []

    async with subscribed(line.redis_url(""), scripts, heard, silence_s=0.05):
        await soon(hears)
        line.back.lost = True
        await soon(is_gone)
        heard.clear()
        line.back.lost = False
        await soon(hears)

    assert set(heard) == {b"word"}


async def test_a_quiet_connection_is_kept(processes: Processes, plain: redis.asyncio.Redis, scripts: Scripts) -> None:
    async with subscribed(processes.url, scripts, [], silence_s=0.02):
        await soon(lambda: _listeners(plain))
        before = await _listeners(plain)

        await asyncio.sleep(0.3)

        assert await _listeners(plain) == before


async def test_a_turn_whose_answer_was_lost_is_not_kept(
    own_valkey: ValkeyUnderTest, line: FaultyLine, scripts: Scripts, processes: Processes
) -> None:
    watching = await join(processes, most=5)
    async with Processes(line.redis_url(""), scripts) as far:
        turns = await far.join({"a": 5}, depth=20, wait_s=20, subscribed_at=own_valkey.url)
        line.back.lost = True

        with pytest.raises(StoreUnavailable):
            await turns.take(A)

        assert turns.in_flight == {"a": 0}
        await until(watching, waiting=0, a=0)
        line.back.lost = False


async def test_a_turn_given_back_while_the_line_is_down_is_free_when_it_is_up(
    line: FaultyLine, scripts: Scripts, processes: Processes, own_valkey: ValkeyUnderTest
) -> None:
    watching = await join(processes)
    async with Processes(line.redis_url(""), scripts) as far:
        turns = await far.join({"a": 1}, depth=20, wait_s=20, subscribed_at=own_valkey.url)
        turn = await turns.take(A)
        waiter = await in_line(watching)
        line.refuses = True
        line.hang_up()
        await asyncio.sleep(0.03)

        turns.give_back(turn)
        with pytest.raises(StoreUnavailable):
            await turns.take(A)
        assert (await watching.standing()) == TurnStanding(in_flight={"a": 1}, waiting=1)

        line.refuses = False
        await ended(waiter)


async def test_who_leaves_the_line_while_it_cannot_be_told_is_out_when_it_can(
    line: FaultyLine, scripts: Scripts, processes: Processes, own_valkey: ValkeyUnderTest
) -> None:
    watching = await join(processes)
    await watching.take(A)
    async with Processes(line.redis_url(""), scripts) as far:
        turns = await far.join({"a": 1}, depth=20, wait_s=20, subscribed_at=own_valkey.url)
        waiter = await in_line(turns)
        line.refuses = True
        line.hang_up()
        await asyncio.sleep(0.03)

        await left(waiter)

        assert (await watching.standing()).waiting == 1
        line.refuses = False
        await until(watching, waiting=0, a=1)


async def test_who_is_refused_while_the_store_is_away_leaves_nothing_to_tell(processes: Processes) -> None:
    turns = await join(processes)
    lane = turns._lane
    await processes.die(turns)

    for _ in range(5):
        with pytest.raises(StoreUnavailable) as refused:
            await turns.take(A)
        assert refused.value.code is FaultCode.LIMITER_UNAVAILABLE

    assert not lane._kept


async def test_who_is_refused_by_a_full_queue_asks_once(processes: Processes, plain: redis.asyncio.Redis) -> None:
    turns = await processes.join({"a": 1}, depth=0, wait_s=20)
    await turns.take(A)
    before = (await plain.info("commandstats"))["cmdstat_evalsha"]["calls"]

    with pytest.raises(Exception, match="the queue is full"):
        await turns.take(A)
    await turns.standing()

    assert (await plain.info("commandstats"))["cmdstat_evalsha"]["calls"] == before + 2


async def test_another_server_that_knows_nothing_is_told_what_runs_and_who_waits(
    own_valkey: ValkeyUnderTest, processes: Processes
) -> None:
    turns = await join(processes)
    first = await turns.take(A)
    waiters = [await in_line(turns) for _ in range(2)]
    own_valkey.kill()
    own_valkey.start()

    await renewed(turns)

    await until(turns, waiting=2, a=1)
    turns.give_back(first)
    [second] = await ended(waiters[0])
    assert not waiters[1].done()
    turns.give_back(second)
    await ended(waiters[1])


async def test_a_waiter_outlasts_a_store_that_stands_still(own_valkey: ValkeyUnderTest, processes: Processes) -> None:
    turns = await join(processes)
    first = await turns.take(A)
    waiter = await in_line(turns)
    own_valkey.signal(signal.SIGSTOP)

    with pytest.raises(StoreUnavailable):
        await turns.renew()
    turns.give_back(first)

    assert not waiter.done()
    own_valkey.signal(signal.SIGCONT)
    await ended(waiter)


async def test_forgotten_scripts_are_loaded_again(processes: Processes, plain: redis.asyncio.Redis) -> None:
    turns = await join(processes, most=2)
    for _ in range(3):
        await plain.script_flush()
        tasks = [asyncio.create_task(turns.take(A)) for _ in range(8)]
        for _ in range(8):
            done, _ = await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_COMPLETED)
            tasks = [task for task in tasks if task not in done]
            for task in done:
                turns.give_back(task.result())
            if not tasks:
                break
        await until(turns, waiting=0, a=0)


async def test_a_wrong_type_closes(processes: Processes, plain: redis.asyncio.Redis) -> None:
    turns = await join(processes)
    await plain.set(names.turns_at("a"), "text")

    with pytest.raises(StoreUnavailable):
        await turns.take(A)

    await plain.delete(names.turns_at("a"))
    await turns.take(A)


async def test_what_is_nonsense_on_the_channel_harms_nothing(processes: Processes, plain: redis.asyncio.Redis) -> None:
    turns = await join(processes)
    first = await turns.take(A)
    waiter = await in_line(turns)
    [channel] = await plain.pubsub_channels()
    for nonsense in (b"", b"x", b"no such turn a", b"\xff \xff"):
        await plain.publish(channel, nonsense)
    await turns.standing()

    assert not waiter.done()
    turns.give_back(first)
    await ended(waiter)
    assert turns.in_flight == {"a": 1}


async def test_when_all_have_gone_nothing_is_left_in_the_store(
    processes: Processes, plain: redis.asyncio.Redis
) -> None:
    one, other = await join(processes), await join(processes)
    first = await one.take(A)
    waiter = await in_line(other)
    one.give_back(first)
    [second] = await ended(waiter)
    other.give_back(second)

    await until(one, waiting=0, a=0)
    assert await plain.keys() == []
