"""Memory and Redis keep one contract; what Redis itself does to a record is never believed."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from adapters.redis import names
from adapters.redis.key_cache import RedisKeyCache
from adapters.redis.lane import Lane
from adapters.redis.records import BadRecord, RecordSeal
from adapters.redis.scripts import Scripts
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.key_cache import CacheBench, KeyCacheContract, a_caller
from tests.fakes.key_cache import MemoryKeyCache
from tests.fakes.surroundings import FakeClock

PEPPER = b"p" * 32
FORMER = b"f" * 32


class TestMemory(KeyCacheContract):
    @pytest.fixture
    def bench(self) -> CacheBench:
        clock = FakeClock()
        return CacheBench(MemoryKeyCache(clock), clock)


@pytest.mark.stores
class TestRedis(KeyCacheContract):
    @pytest.fixture
    def bench(self, lane: Lane) -> CacheBench:
        clock = FakeClock()
        return CacheBench(RedisKeyCache(lane, peppers=[PEPPER], clock=clock), clock)


@pytest.fixture
async def plain(valkey: ValkeyUnderTest) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(valkey.url) as client:
        yield client


@pytest.mark.stores
async def test_redis_forgets_after_30_s(lane: Lane, plain: redis.asyncio.Redis) -> None:
    clock, fingerprint = FakeClock(), secrets.token_bytes(32)
    cache = RedisKeyCache(lane, peppers=[PEPPER], clock=clock)

    cache.remember(fingerprint, a_caller(clock))
    await cache.recall(fingerprint)

    assert 28 <= await plain.ttl(names.caller(fingerprint)) <= 30


@pytest.mark.stores
async def test_what_was_tampered_with_is_refused_and_counted(lane: Lane, plain: redis.asyncio.Redis) -> None:
    clock = FakeClock()
    cache = RedisKeyCache(lane, peppers=[PEPPER], clock=clock)
    ours, other = secrets.token_bytes(32), secrets.token_bytes(32)
    cache.remember(ours, a_caller(clock))
    await cache.recall(ours)
    good = await plain.get(names.caller(ours))
    assert isinstance(good, bytes)
    forgeries = [b"", b"x", good[:-1], good[:40], good.replace(b'"t1"', b'"t2"'), bytes([good[0] ^ 1]) + good[1:]]

    for record in forgeries:
        await plain.set(names.caller(ours), record, ex=30)
        assert await cache.recall(ours) is None
    await plain.set(names.caller(other), good, ex=30)
    assert await cache.recall(other) is None  # one key's record under another's name

    assert cache.refused_records == len(forgeries) + 1


@pytest.mark.stores
async def test_a_record_of_the_wrong_kind_is_not_known(lane: Lane, plain: redis.asyncio.Redis) -> None:
    cache, fingerprint = RedisKeyCache(lane, peppers=[PEPPER], clock=FakeClock()), secrets.token_bytes(32)
    await plain.lpush(names.caller(fingerprint), "x")

    assert await cache.recall(fingerprint) is None


async def test_without_a_connection_nothing_is_known_and_nothing_raised(scripts: Scripts) -> None:
    clock = FakeClock()
    cache = RedisKeyCache(Lane("unix:///nowhere", scripts), peppers=[PEPPER], clock=clock)

    cache.remember(b"f", a_caller(clock))

    assert await cache.recall(b"f") is None


def test_records_under_a_former_pepper_still_open() -> None:
    clock = FakeClock()
    caller = a_caller(clock)

    record = RecordSeal([FORMER]).seal(b"f", caller, clock.now())

    assert RecordSeal([PEPPER, FORMER]).open(b"f", record, clock.now()) == caller
    with pytest.raises(BadRecord):
        RecordSeal([PEPPER]).open(b"f", record, clock.now())


@pytest.mark.parametrize("seconds", [61, -61])
def test_a_record_of_another_time_is_refused(seconds: int) -> None:
    clock, seal = FakeClock(), RecordSeal([PEPPER])
    record = seal.seal(b"f", a_caller(clock), clock.now())

    clock.advance(seconds)

    with pytest.raises(BadRecord):
        seal.open(b"f", record, clock.now())
