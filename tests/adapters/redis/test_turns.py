"""Memory and Redis keep one contract about turns."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from adapters.redis.scripts import Scripts
from domain.ports.turns import Turns
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.adapters.redis.turn_processes import Processes, forget_turns
from tests.contracts.turns import TurnsBench, TurnsContract
from tests.fakes.surroundings import FakeClock
from tests.fakes.turns import MemoryTurns, TurnBoard


class MemoryBench(TurnsBench):
    def __init__(self) -> None:
        self.clock = FakeClock()
        self._board = TurnBoard(self.clock.now_ms)

    async def join(self, *, depth: int = 50, wait_s: float = 20, **most: int) -> Turns:
        return MemoryTurns(most, depth=depth, wait_s=wait_s, board=self._board)

    async def lose(self) -> None:
        self._board.forget()

    async def die(self, turns: Turns) -> None:
        assert isinstance(turns, MemoryTurns)
        turns.dead = True

    async def cut_off(self, turns: Turns) -> None:
        assert isinstance(turns, MemoryTurns)
        turns.down = True


class RedisBench(TurnsBench):
    def __init__(self, processes: Processes, plain: redis.asyncio.Redis) -> None:
        self.clock = processes.clock
        self._processes = processes
        self._plain = plain

    async def join(self, *, depth: int = 50, wait_s: float = 20, **most: int) -> Turns:
        return await self._processes.join(most, depth=depth, wait_s=wait_s)

    async def lose(self) -> None:
        await forget_turns(self._plain)

    async def die(self, turns: Turns) -> None:
        await self._processes.die(turns)

    async def cut_off(self, turns: Turns) -> None:
        await self._processes.die(turns)


class TestMemory(TurnsContract):
    @pytest.fixture
    def bench(self) -> TurnsBench:
        return MemoryBench()


@pytest.mark.stores
class TestRedis(TurnsContract):
    @pytest.fixture
    async def bench(self, valkey: ValkeyUnderTest, scripts: Scripts) -> AsyncIterator[TurnsBench]:
        async with redis.asyncio.Redis.from_url(valkey.url) as plain, Processes(valkey.url, scripts) as processes:
            await forget_turns(plain)
            yield RedisBench(processes, plain)
