"""Memory and Redis keep one contract; and the belt: Redis itself lets a key go at the end of its hour."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import redis.asyncio

from adapters.redis import names
from adapters.redis.hour_keys import RedisHourKeys
from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts
from domain.faults import StoreUnavailable
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.hour_keys import HourKeysContract, KeysBench, a_wrapped_key, hours_of_this_host
from tests.fakes.hour_keys import MemoryHourKeys


class TestMemory(HourKeysContract):
    @pytest.fixture
    def bench(self) -> KeysBench:
        return KeysBench(MemoryHourKeys(lambda: datetime.now(UTC)), *hours_of_this_host())


@pytest.mark.stores
class TestRedis(HourKeysContract):
    @pytest.fixture
    def bench(self, lane: Lane) -> KeysBench:
        return KeysBench(RedisHourKeys(lane), *hours_of_this_host())


@pytest.mark.stores
async def test_redis_lets_a_key_go_at_the_end_of_its_hour(lane: Lane, valkey: ValkeyUnderTest) -> None:
    ahead, _ = hours_of_this_host()
    key = a_wrapped_key(ahead)

    await RedisHourKeys(lane).put([key])

    async with redis.asyncio.Redis.from_url(valkey.url) as plain:
        assert await plain.expiretime(names.hour_key(key.id)) == int(ahead.timestamp())


async def test_without_redis_nothing_is_known_and_that_is_told(scripts: Scripts) -> None:
    keys = RedisHourKeys(Lane("unix:///nowhere", scripts))
    ahead, _ = hours_of_this_host()

    with pytest.raises(StoreUnavailable, match="hour keys"):
        await keys.put([a_wrapped_key(ahead)])
    with pytest.raises(StoreUnavailable, match="hour keys"):
        await keys.get("00")
    with pytest.raises(StoreUnavailable, match="hour keys"):
        await keys.destroy(["00"])
