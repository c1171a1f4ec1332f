"""When the store is lost, late, broken or full: the answer is no, it comes in time, and nothing is charged twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Iterator

import pytest
import redis.asyncio

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.limit_store import RedisLimitStore
from adapters.redis.scripts import Scripts
from domain.faults import FaultCode, StoreUnavailable
from domain.limits import Limits
from domain.ports.limit_store import Admitted, Empty, Full, TenantFacts
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.limit_store import LimitBench, Tenant
from tests.fakes.surroundings import FakeClock
from tests.faults.line import FaultyLine

pytestmark = pytest.mark.stores


async def _never(_tenant_id: str) -> None:
    raise NotImplementedError


def bench_of(lane: Lane, scripts: Scripts) -> LimitBench:
    return LimitBench(RedisLimitStore(lane, scripts), FakeClock(), _never)


async def refused_after_s(question: Awaitable[object]) -> float:
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as refused:
        await question
    assert refused.value.code is FaultCode.LIMITER_UNAVAILABLE
    return time.monotonic() - began


async def until_it_answers(lane: Lane, scripts: Scripts) -> None:
    store = RedisLimitStore(lane, scripts)
    for _ in range(300):
        try:
            await store.ping()
        except StoreUnavailable:
            await asyncio.sleep(0.01)
        else:
            return
    pytest.fail("the lane did not come back")


@pytest.fixture
async def plain(own_valkey: ValkeyUnderTest) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(own_valkey.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def line(own_valkey: ValkeyUnderTest) -> Iterator[FaultyLine]:
    with FaultyLine(own_valkey.socket_path, own_valkey.directory / "near.sock") as line:
        yield line


@pytest.fixture
async def far_lane(line: FaultyLine, scripts: Scripts) -> AsyncIterator[Lane]:
    lane = Lane(line.redis_url(""), scripts)
    await lane.start()
    yield lane
    await lane.aclose()


async def test_a_flush_empties(own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts)).filled()
    assert isinstance(await tenant.admit(), Admitted)

    await plain.flushall()

    assert await tenant.admit() == Empty()


async def test_another_run_of_the_server_is_empty_although_it_kept_its_contents(
    own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    """After a fail-over or a restart from disk the last second may be missing."""
    tenant = await Tenant(bench=bench_of(own_lane, scripts), limits=Limits(rpm=5)).filled()
    await plain.set(names.epoch(tenant.id), "9:anotherrun")

    assert await tenant.admit() == Empty()

    await tenant.filled(TenantFacts(epoch=10, recent=(), generations=()))
    assert isinstance(await tenant.admit(), Admitted)


async def test_a_killed_server_closes_at_once_and_a_new_one_is_empty(
    own_lane: Lane, scripts: Scripts, own_valkey: ValkeyUnderTest
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts)).filled()
    own_valkey.kill()
    await asyncio.sleep(0.05)

    assert await refused_after_s(tenant.admit()) < 0.05

    own_valkey.start()
    await until_it_answers(own_lane, scripts)
    assert await tenant.admit() == Empty()


async def test_questions_under_way_fail_when_the_server_is_killed(
    own_lane: Lane, scripts: Scripts, own_valkey: ValkeyUnderTest
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts)).filled()
    own_valkey.signal(signal.SIGSTOP)
    asked = [asyncio.create_task(tenant.admit()) for _ in range(50)]
    await asyncio.sleep(0.02)

    own_valkey.kill()

    ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, StoreUnavailable) for end in ends)


async def test_a_stopped_server_closes_within_the_budget(
    own_lane: Lane, scripts: Scripts, own_valkey: ValkeyUnderTest
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts)).filled()
    own_valkey.signal(signal.SIGSTOP)

    waits = await asyncio.gather(*(refused_after_s(tenant.admit()) for _ in range(20)))
    assert all(0.08 < wait < 0.2 for wait in waits)
    await asyncio.sleep(1.5)  # by now the connection is given up; opening another one hangs too
    assert await refused_after_s(tenant.admit()) < 0.2

    own_valkey.signal(signal.SIGCONT)
    await until_it_answers(own_lane, scripts)
    assert isinstance(await tenant.admit(), Admitted)


async def test_lost_replies_charge_each_request_once_at_most(
    far_lane: Lane, line: FaultyLine, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    tenant = await Tenant(bench=bench_of(far_lane, scripts), limits=Limits(rpm=100, tpm=1000, concurrency=50)).filled()
    line.back.lost = True

    waits = await asyncio.gather(*(refused_after_s(tenant.admit(f"r{at}", tokens=10)) for at in range(10)))

    assert max(waits) < 0.25
    assert int(await plain.hget(names.calls(tenant.id), "s") or 0) == 10
    line.back.lost = False
    for at in range(10):
        tenant.release(f"r{at}", refund=10)
    line.hang_up()
    await until_it_answers(far_lane, scripts)
    assert int(await plain.hget(names.calls(tenant.id), "s") or 0) == 10
    assert int(await plain.hget(names.tokens(tenant.id), "s") or 0) == 0
    assert await plain.zcard(names.slots(tenant.id)) == 0


async def test_a_late_reply_reaches_nobody_else(far_lane: Lane, line: FaultyLine, scripts: Scripts) -> None:
    few = await Tenant(bench=bench_of(far_lane, scripts), limits=Limits(rpm=1)).filled()
    many = await Tenant(bench=bench_of(far_lane, scripts)).filled()
    line.back.latency_s = 0.25
    await refused_after_s(many.admit())

    line.back.latency_s = 0.0
    verdicts = []
    for _ in range(40):
        try:
            verdicts.append(await few.admit())
        except StoreUnavailable:
            await asyncio.sleep(0.01)

    assert sum(isinstance(verdict, Admitted) for verdict in verdicts) <= 1
    assert isinstance(verdicts[-1], Full)
    assert verdicts[-1].limit == 1


async def test_each_question_on_a_slow_line_has_the_budget_and_no_more(
    far_lane: Lane, line: FaultyLine, scripts: Scripts
) -> None:
    tenant = await Tenant(bench=bench_of(far_lane, scripts)).filled()
    line.back.latency_s = 0.3

    waits = [await refused_after_s(tenant.admit(f"r{at}")) for at in range(5)]

    assert max(waits) < 0.25


async def test_a_release_while_the_line_is_down_is_sent_later(
    far_lane: Lane, line: FaultyLine, scripts: Scripts
) -> None:
    tenant = await Tenant(bench=bench_of(far_lane, scripts), limits=Limits(concurrency=1, tpm=10)).filled()
    await tenant.admit("first", tokens=10)
    line.refuses = True
    line.hang_up()
    await asyncio.sleep(0.03)

    tenant.release("first", refund=10)
    assert await refused_after_s(tenant.admit()) < 0.05

    line.refuses = False
    await until_it_answers(far_lane, scripts)
    assert isinstance(await tenant.admit("second", tokens=10), Admitted)


async def test_what_is_kept_is_bounded(scripts: Scripts) -> None:
    lane = Lane("unix:///nowhere", scripts, keep_at_most=10)
    store = RedisLimitStore(lane, scripts)

    for at in range(25):
        store.release("t", "k", f"r{at}", 0)

    assert lane.counts.dropped == 15


async def test_forgotten_scripts_are_loaded_again(own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts), limits=Limits(rpm=50, concurrency=50)).filled()
    for _ in range(3):
        await plain.script_flush()
        asked = [asyncio.create_task(tenant.admit(f"r{at}")) for at in range(30)]
        await asyncio.sleep(0)
        for at in range(30):
            tenant.release(f"r{at}")
        assert {type(verdict) for verdict in await asyncio.gather(*asked)} <= {Admitted, Full}
        await own_lane.ask(b"*1\r\n$4\r\nPING\r\n")
        assert await plain.zcard(names.slots(tenant.id)) == 0


async def test_a_wrong_type_closes_and_charges_nothing(
    own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts), limits=Limits(rpm=5, tpm=50, concurrency=5)).filled()
    wrong = [names.tokens, names.slots, names.calls]
    for name in wrong:
        await plain.set(name(tenant.id), "text")
        await refused_after_s(tenant.admit())
        await plain.delete(name(tenant.id))
    await plain.rpush(names.request(tenant.id, "r1"), "x")
    await refused_after_s(tenant.admit("r1"))

    verdict = await tenant.admit()

    assert isinstance(verdict, Admitted)
    assert verdict.rpm is not None
    assert verdict.rpm.remaining == 4


async def test_a_full_memory_closes_and_charges_nothing(
    own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts), limits=Limits(rpm=5)).filled()
    await plain.config_set("maxmemory", "1")

    await refused_after_s(tenant.admit())
    await bench_of(own_lane, scripts).store.announce(tenant.id, [("k1", 1)])  # a revocation arrives all the same

    await plain.config_set("maxmemory", "0")
    verdict = await tenant.admit()
    assert isinstance(verdict, Admitted)
    assert verdict.rpm is not None
    assert verdict.rpm.remaining == 4


async def test_a_replica_closes_and_its_promotion_opens(
    own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts)).filled()
    await plain.replicaof("127.0.0.1", "1")
    await refused_after_s(tenant.admit())

    await plain.replicaof("NO", "ONE")
    await until_it_answers(own_lane, scripts)

    assert isinstance(await tenant.admit(), Admitted)


async def test_a_release_that_a_replica_refuses_is_sent_again(
    own_lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    tenant = await Tenant(bench=bench_of(own_lane, scripts), limits=Limits(concurrency=1)).filled()
    await tenant.admit("first")
    await plain.replicaof("127.0.0.1", "1")
    tenant.release("first", refund=0)
    await refused_after_s(tenant.admit())  # after the release: first in, first out
    await plain.replicaof("NO", "ONE")

    for _ in range(150):
        if not await plain.zcard(names.slots(tenant.id)):
            return
        await asyncio.sleep(0.02)
    pytest.fail("the slot is not free")


async def test_a_password_and_another_database_are_used(
    own_valkey: ValkeyUnderTest, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    await plain.config_set("requirepass", "secret")
    lane = Lane(f"unix://:secret@{own_valkey.socket_path}?db=3", scripts)
    await lane.start()

    tenant = await Tenant(bench=bench_of(lane, scripts)).filled()

    assert isinstance(await tenant.admit(), Admitted)
    async with redis.asyncio.Redis.from_url(own_valkey.url, password="secret", db=3) as third:
        assert await third.exists(names.epoch(tenant.id))
    await lane.aclose()


async def test_a_wrong_password_closes(
    own_valkey: ValkeyUnderTest, scripts: Scripts, plain: redis.asyncio.Redis
) -> None:
    await plain.config_set("requirepass", "secret")
    lane = Lane(f"unix://:wrong@{own_valkey.socket_path}", scripts)
    await lane.start()

    await refused_after_s(RedisLimitStore(lane, scripts).ping())

    await lane.aclose()


@pytest.mark.parametrize("url", ["http://x", "redis://h/0?no_such_option=1", ""])
def test_a_url_that_is_none_is_refused_when_built(url: str, scripts: Scripts) -> None:
    with pytest.raises(ValueError, match="URL"):
        Lane(url, scripts)
