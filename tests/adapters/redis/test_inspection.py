"""Memory and Valkey keep one contract; and what is seen of a store that is not well."""

from __future__ import annotations

import signal

import pytest
import redis.asyncio

from adapters.redis.inspection import RedisInspection
from adapters.redis.scripts import read_scripts
from domain.faults import StoreUnavailable
from domain.ports.inspection import LimiterInspection
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.inspection import LimiterInspectionContract
from tests.fakes.inspection import FakeLimiterInspection


class TestMemory(LimiterInspectionContract):
    @pytest.fixture
    def inspection(self) -> LimiterInspection:
        return FakeLimiterInspection()


@pytest.mark.stores
class TestRedis(LimiterInspectionContract):
    @pytest.fixture
    def inspection(self, valkey: ValkeyUnderTest) -> LimiterInspection:
        return RedisInspection(valkey.url, read_scripts())


@pytest.mark.stores
async def test_a_policy_that_evicts_a_replica_and_a_bound_are_seen(own_valkey: ValkeyUnderTest) -> None:
    async with redis.asyncio.Redis.from_url(own_valkey.url) as plain:
        await plain.config_set("maxmemory-policy", "allkeys-lru")
        await plain.config_set("maxmemory", 50_000_000)
        await plain.config_set("appendonly", "yes")

    facts = await RedisInspection(own_valkey.url, read_scripts()).look()

    assert (facts.eviction, facts.most_bytes, facts.saves) == ("allkeys-lru", 50_000_000, True)


@pytest.mark.stores
async def test_a_store_that_is_gone_or_frozen_says_so_in_time(own_valkey: ValkeyUnderTest) -> None:
    inspection = RedisInspection(own_valkey.url, read_scripts(), patience_s=0.3)

    own_valkey.signal(signal.SIGSTOP)
    with pytest.raises(StoreUnavailable, match="did not answer in time"):
        await inspection.look()
    own_valkey.signal(signal.SIGCONT)
    own_valkey.kill()
    with pytest.raises(StoreUnavailable, match="Redis cannot be asked"):
        await inspection.look()
