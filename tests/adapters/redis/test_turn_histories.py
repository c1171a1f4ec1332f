"""Any history of several processes: no backend is given more than its cap, no turn is lost, nobody is overtaken.

The events hit a real store. Some do it one after the other, so that who must be served next is known; others all at
once, with tasks cancelled in between, so that only what holds in every order is asked.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import attrs
import pytest
import redis.asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.redis.scripts import Scripts
from domain.faults import Overloaded
from domain.ports.turns import Turn, Turns
from tests.adapters.redis.conftest import ValkeyUnderTest
from tests.adapters.redis.turn_processes import Processes, forget_turns
from tests.contracts.turns import until
from tests.fakes.turns import MemoryTurns, TurnBoard
from tests.turn_events import DEPTH, MOST, GiveBack, Leave, Pass, Take

pytestmark = pytest.mark.stores

LANES = 3


@attrs.frozen
class Forget:
    pass


Event = Take | GiveBack | Leave | Pass | Forget

_nth = st.integers(0, 5)
_events = st.lists(
    st.builds(
        Take,
        st.integers(0, LANES - 1),
        st.sampled_from([(("a",),), (("b",),), (("a", "b"),), (("b",), ("a",)), (("a",), ("b",))]),
    )
    | _nth.map(GiveBack)
    | _nth.map(Leave)
    | st.sampled_from([0.5, 2.5, 29.0]).map(Pass)
    | st.just(Forget()),
    max_size=25,
)


class Story:
    """Plays a history, one event after the other, and writes down who was served with what."""

    def __init__(self, processes: Sequence[Turns], board: TurnBoard | None, plain: redis.asyncio.Redis | None) -> None:
        self.processes = processes
        self.board = board
        self.plain = plain
        self.seen: list[object] = []
        self.waiting: dict[int, tuple[asyncio.Task[Turn], Turns]] = {}
        self.held: dict[int, tuple[Turn, Turns]] = {}

    async def play(self, number: int, event: Event, advance: float) -> None:
        match event:
            case Take(process, candidates):
                turns = self.processes[process]
                self.waiting[number] = (asyncio.create_task(turns.take(candidates)), turns)
            case GiveBack(nth) if self.held:
                turn, turns = self.held.pop(sorted(self.held)[nth % len(self.held)])
                turns.give_back(turn)
            case Leave(nth) if self.waiting:
                task, _ = self.waiting.pop(sorted(self.waiting)[nth % len(self.waiting)])
                task.cancel()
                await asyncio.wait([task])
            case Pass() | Forget():
                await self._forget_and_tell(forget=isinstance(event, Forget))
        await self.settle()
        self.seen.append((number, advance, await self.standing()))

    async def _forget_and_tell(self, *, forget: bool) -> None:
        # What is held comes first, as if its processes had been quicker: else the cap would be passed, as it may be.
        if forget and not self.waiting:
            if self.board is not None:
                self.board.forget()
            elif self.plain is not None:
                await forget_turns(self.plain)
        for turns in self.processes:
            await turns.renew()

    async def settle(self) -> None:
        """Until the store counts as waiting and as served just those that are."""
        standing = None
        for _ in range(1000):
            for number, (task, turns) in list(self.waiting.items()):
                if task.done():
                    del self.waiting[number]
                    self._note(number, task, turns)
            standing = await self.processes[0].standing()
            if standing.waiting == len(self.waiting) and sum(standing.in_flight.values()) == len(self.held):
                return
            await asyncio.sleep(0.001)
        raise AssertionError((standing, self.waiting, self.held))

    def _note(self, number: int, task: asyncio.Task[Turn], turns: Turns) -> None:
        try:
            turn = task.result()
        except Overloaded as reason:
            self.seen.append((number, reason.code))
        else:
            self.held[number] = (turn, turns)
            self.seen.append((number, turn.backend))

    async def standing(self) -> object:
        return await self.processes[0].standing()

    async def end(self) -> None:
        for task, _ in self.waiting.values():
            task.cancel()
        if self.waiting:
            await asyncio.wait([task for task, _ in self.waiting.values()])
        for turn, turns in self.held.values():
            turns.give_back(turn)
        await until(self.processes[0], waiting=0, a=0, b=0)


@given(events=_events)
@settings(
    max_examples=min(60, settings().max_examples),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_memory_and_redis_serve_the_same_callers(
    valkey: ValkeyUnderTest, scripts: Scripts, events: list[Event]
) -> None:
    async def both() -> None:
        async with redis.asyncio.Redis.from_url(valkey.url) as plain, Processes(valkey.url, scripts) as processes:
            await forget_turns(plain)
            board = TurnBoard(processes.clock.now_ms)
            real = [await processes.join(MOST, depth=DEPTH, wait_s=60) for _ in range(LANES)]
            memory = [MemoryTurns(MOST, depth=DEPTH, wait_s=60, board=board) for _ in range(LANES)]
            stories = [Story(memory, board, None), Story(real, None, plain)]
            for number, event in enumerate(events):
                advance = event.seconds if isinstance(event, Pass) else 0.0
                processes.clock.advance(advance)
                for story in stories:
                    await story.play(number, event, advance)
            for story in stories:
                await story.end()
            assert stories[1].seen == stories[0].seen

    asyncio.run(both())


@pytest.mark.parametrize("seed", range(3))
async def test_in_a_storm_of_calls_that_end_and_leave_the_cap_holds_and_nothing_is_left(
    valkey: ValkeyUnderTest, scripts: Scripts, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - the same storm every time
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()
    served = 0

    async def call(turns: Turns, candidates: Sequence[Sequence[str]], lasts_s: float) -> None:
        nonlocal served
        turn = await turns.take(candidates)
        try:
            running[turn.backend] += 1
            most[turn.backend] = max(most[turn.backend], running[turn.backend])
            served += 1
            await asyncio.sleep(lasts_s)
        finally:
            running[turn.backend] -= 1
            turns.give_back(turn)

    async with redis.asyncio.Redis.from_url(valkey.url) as plain, Processes(valkey.url, scripts) as processes:
        await forget_turns(plain)
        lanes = [await processes.join(MOST, depth=40, wait_s=5) for _ in range(LANES)]
        tasks = []
        for _ in range(400):
            candidates = dice.choice([[["a"]], [["b"]], [["a", "b"]], [["b"], ["a"]]])
            task = asyncio.create_task(call(dice.choice(lanes), candidates, dice.uniform(0, 0.004)))
            if dice.random() < 0.4:
                asyncio.get_running_loop().call_later(dice.uniform(0, 0.02), task.cancel)
            tasks.append(task)
            if dice.random() < 0.2:
                await asyncio.sleep(dice.uniform(0, 0.004))
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)

        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError, Overloaded}
        assert most == MOST
        assert served > 100
        await until(lanes[0], waiting=0, a=0, b=0)
        assert [turns.waiting for turns in lanes] == [0] * LANES
        assert [key async for key in plain.scan_iter("nz:{turns}:*")] == []
