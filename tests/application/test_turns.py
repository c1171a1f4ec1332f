"""Any order of events: never more than the cap, and no turn is ever lost. Time jumps; the turns are those in memory."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ports.turns import Turn
from tests.application.rig import in_no_time, turns_of_the_loop
from tests.fakes.turns import MemoryTurns, TurnBoard
from tests.turn_events import DEPTH, MOST, GiveBack, Leave, Pass, Take


@pytest.mark.parametrize("late_s", [-0.001, 0.0, 0.001])
@pytest.mark.parametrize("grant_first", [True, False])
def test_a_wait_that_runs_out_as_its_turn_comes_loses_none(late_s: float, grant_first: bool) -> None:  # noqa: FBT001
    async def story() -> None:
        turns = MemoryTurns({"a": 1}, depth=8, wait_s=10)
        first = await turns.take([["a"]])
        loop = asyncio.get_running_loop()
        if grant_first:  # of timers for the same instant, the older one runs first
            loop.call_later(10 + late_s, turns.give_back, first)
        waiting = asyncio.create_task(turns.take([["a"]]))
        await asyncio.sleep(0)
        if not grant_first:
            loop.call_later(10 + late_s, turns.give_back, first)

        await asyncio.wait([waiting])
        await asyncio.sleep(1)

        assert turns.in_flight == {"a": 0 if waiting.exception() else 1}

    in_no_time(story())


# -- every order of events ------------------------------------------------------------------------------------------


_nth = st.integers(0, 5)
EVENTS = st.lists(
    st.one_of(
        st.builds(Take, st.integers(0, 1), st.sampled_from([(("a",),), (("b",),), (("a", "b"),), (("b",), ("a",))])),
        _nth.map(GiveBack),
        _nth.map(Leave),
        st.sampled_from([0.0, 0.0, 2.5, 10.0]).map(Pass),
    ),
    max_size=40,
)


class Players:
    """Tasks of two processes that want a turn, and the turns they have."""

    def __init__(self) -> None:
        self.board = TurnBoard()
        self.processes = [MemoryTurns(MOST, depth=DEPTH, wait_s=10, board=self.board) for _ in range(2)]
        self.tasks: dict[asyncio.Task[Turn], MemoryTurns] = {}
        self.held: list[tuple[MemoryTurns, Turn]] = []

    async def play(self, event: Take | GiveBack | Leave | Pass) -> None:
        match event:
            case Take(process, candidates):
                turns = self.processes[process]
                self.tasks[asyncio.create_task(turns.take(candidates))] = turns
            case GiveBack(nth) if self.held:
                turns, turn = self.held.pop(nth % len(self.held))
                turns.give_back(turn)
            case Leave(nth) if self.tasks:
                list(self.tasks)[nth % len(self.tasks)].cancel()
            case Pass(seconds):
                await asyncio.sleep(seconds)
        self.collect()

    def collect(self) -> None:
        """Moves the turns of finished tasks to those that are held."""
        for task in [task for task in self.tasks if task.done()]:
            turns = self.tasks.pop(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append((turns, task.result()))

    def taken(self) -> dict[str, int]:
        return {name: self.board.taken(name) for name in MOST}

    def counted(self) -> dict[str, int]:
        return {name: sum(turn.backend == name for _, turn in self.held) for name in MOST}

    async def rest(self) -> None:
        await turns_of_the_loop()
        self.collect()

    async def all_end(self) -> None:
        while self.tasks or self.held:
            if self.held:
                turns, turn = self.held.pop()
                turns.give_back(turn)
            await self.rest()


@given(EVENTS)
def test_no_order_of_events_breaks_the_cap_or_loses_a_turn(events: list[Take | GiveBack | Leave | Pass]) -> None:
    async def story() -> None:
        players = Players()
        for event in events:
            await players.play(event)
            assert all(players.taken()[name] <= most for name, most in MOST.items())
            assert all(players.counted()[name] <= players.taken()[name] for name in MOST)

        await players.rest()
        assert len(players.tasks) <= DEPTH
        assert players.counted() == players.taken()
        if players.tasks:  # somebody waits only for what is not free
            assert any(players.taken()[name] == most for name, most in MOST.items())
        await players.all_end()
        assert set(players.taken().values()) == {0}
        assert not players.board.line
        assert [turns.in_flight for turns in players.processes] == [dict.fromkeys(MOST, 0)] * 2

    in_no_time(story())
