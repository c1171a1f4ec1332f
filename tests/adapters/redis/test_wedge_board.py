"""Memory and Redis keep one contract; what gateways said is forgotten when none says anything any more."""

from __future__ import annotations

import pytest
import redis.asyncio

from adapters.redis import names
from adapters.redis.inspection import RedisInspection
from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts
from adapters.redis.wedge_board import KEPT_S, RedisWedgeBoard
from domain.faults import StoreUnavailable
from domain.ports.wedge_board import WedgeBoard
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.contracts.wedge_board import WedgeBoardContract, a_runner
from tests.fakes.surroundings import FakeClock
from tests.fakes.wedge_board import MemoryWedgeBoard


class TestMemory(WedgeBoardContract):
    @pytest.fixture
    def board(self) -> WedgeBoard:
        return MemoryWedgeBoard(FakeClock())


@pytest.mark.stores
class TestRedis(WedgeBoardContract):
    @pytest.fixture
    def board(self, lane: Lane) -> WedgeBoard:
        return RedisWedgeBoard(lane)


@pytest.mark.stores
async def test_doctor_reads_what_is_wedged_and_a_word_does_not_last_for_ever(
    lane: Lane, valkey: ValkeyUnderTest, scripts: Scripts
) -> None:
    board, wedged, well = RedisWedgeBoard(lane), a_runner(), a_runner()
    board.found_wedged(wedged)
    board.found_well(well)
    await board.read()  # the lane keeps the order, so all is written

    facts = await RedisInspection(valkey.url, scripts).look()

    assert wedged in facts.wedged
    assert well not in facts.wedged
    async with redis.asyncio.Redis.from_url(valkey.url) as plain:
        assert 0 < await plain.ttl(names.WEDGED) <= KEPT_S


@pytest.mark.stores
async def test_what_others_write_there_is_not_believed(lane: Lane, valkey: ValkeyUnderTest) -> None:
    async with redis.asyncio.Redis.from_url(valkey.url) as plain:
        await plain.hset(names.WEDGED, mapping={"nonsense": "wedged", "a b": "perhaps", b"\xff c": "well"})

    assert set((await RedisWedgeBoard(lane).read()).values()) <= {True, False}


async def test_without_redis_nothing_is_known_and_that_is_told(scripts: Scripts) -> None:
    board = RedisWedgeBoard(Lane("unix:///nowhere", scripts))

    with pytest.raises(StoreUnavailable):
        await board.read()
    with pytest.raises(StoreUnavailable):
        await board.may_probe(a_runner(), 30)
