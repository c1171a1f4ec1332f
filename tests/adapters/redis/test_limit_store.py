"""Memory and Redis keep one contract, and give the same answers to any history."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from adapters.redis.lane import Lane
from adapters.redis.limit_store import RedisLimitStore
from adapters.redis.scripts import Scripts
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.limit_store import LimitBench, LimitStoreContract
from tests.fakes.limit_store import MemoryLimitStore
from tests.fakes.surroundings import FakeClock


def memory_bench() -> LimitBench:
    clock = FakeClock()
    store = MemoryLimitStore(clock.now_ms)

    async def lose(tenant_id: str) -> None:
        store.forget(tenant_id)

    return LimitBench(store, clock, lose)


def redis_bench(lane: Lane, scripts: Scripts, plain: redis.asyncio.Redis) -> LimitBench:
    clock = FakeClock()

    async def lose(tenant_id: str) -> None:
        await plain.delete(*[key async for key in plain.scan_iter(f"nz:{{{tenant_id}}}:*", count=1000)])

    return LimitBench(RedisLimitStore(lane, scripts, now_ms=clock.now_ms), clock, lose)


class TestMemory(LimitStoreContract):
    @pytest.fixture
    def bench(self) -> LimitBench:
        return memory_bench()


@pytest.mark.stores
class TestRedis(LimitStoreContract):
    @pytest.fixture
    async def bench(self, lane: Lane, scripts: Scripts, valkey: ValkeyUnderTest) -> AsyncIterator[LimitBench]:
        async with redis.asyncio.Redis.from_url(valkey.url) as plain:
            yield redis_bench(lane, scripts, plain)
