"""Turns: never more than the cap, first come first served, and none is ever lost."""

from __future__ import annotations

import asyncio
import contextlib

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.turns import FirstComeTurns
from domain.faults import FaultCode, Overloaded
from tests.application.rig import in_no_time, turns_of_the_loop


def turns_of(depth: int = 8, wait_s: float = 60, **most: int) -> FirstComeTurns:
    return FirstComeTurns(most, depth=depth, wait_s=wait_s)


async def test_the_best_backend_with_room_is_taken() -> None:
    turns = turns_of(a=1, b=2)

    taken = [await turns.take(["a", "b"]) for _ in range(3)]

    assert taken == ["a", "b", "b"]
    assert turns.in_flight == {"a": 1, "b": 2}


async def test_first_come_is_first_served() -> None:
    turns = turns_of(a=1)
    await turns.take(["a"])
    served: list[int] = []

    async def one(number: int) -> None:
        await turns.take(["a"])
        served.append(number)

    waiting = [asyncio.create_task(one(number)) for number in range(5)]
    await turns_of_the_loop()
    for _ in range(5):
        turns.give_back("a")
        await turns_of_the_loop()

    assert served == [0, 1, 2, 3, 4]
    assert turns.in_flight == {"a": 1}
    await asyncio.gather(*waiting)


async def test_nobody_overtakes_a_waiter_who_was_given_the_turn() -> None:
    turns = turns_of(depth=1, a=1)
    await turns.take(["a"])
    waiter = asyncio.create_task(turns.take(["a"]))
    await turns_of_the_loop()

    turns.give_back("a")
    late = asyncio.create_task(turns.take(["a"]))
    await turns_of_the_loop()

    assert waiter.done()
    assert not late.done()
    late.cancel()
    await asyncio.wait([late])


async def test_a_turn_goes_to_the_first_who_can_use_it() -> None:
    turns = turns_of(a=1, b=1)
    await turns.take(["a"])
    await turns.take(["b"])
    for_a = asyncio.create_task(turns.take(["a"]))
    for_both = asyncio.create_task(turns.take(["a", "b"]))
    await turns_of_the_loop()

    turns.give_back("b")
    await turns_of_the_loop()

    assert for_both.result() == "b"
    turns.give_back("a")
    assert await for_a == "a"


async def test_a_queue_that_is_full_says_so_at_once() -> None:
    turns = turns_of(depth=1, a=1)
    await turns.take(["a"])
    waiter = asyncio.create_task(turns.take(["a"]))
    await turns_of_the_loop()

    with pytest.raises(Overloaded) as refused:
        await turns.take(["a"])

    assert refused.value.code is FaultCode.QUEUE_FULL
    turns.give_back("a")
    await waiter


async def test_who_has_left_takes_no_place_in_the_queue() -> None:
    turns = turns_of(depth=1, a=1)
    await turns.take(["a"])
    waiter = asyncio.create_task(turns.take(["a"]))
    await turns_of_the_loop()

    waiter.cancel()
    next_one = asyncio.create_task(turns.take(["a"]))
    await turns_of_the_loop()

    assert not next_one.done()
    turns.give_back("a")
    assert await next_one == "a"


async def test_who_was_given_a_turn_takes_no_place_in_the_queue() -> None:
    turns = turns_of(depth=1, a=1)
    await turns.take(["a"])
    waiter = asyncio.create_task(turns.take(["a"]))
    await turns_of_the_loop()

    turns.give_back("a")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await turns.take(["a"])

    assert await waiter == "a"
    assert turns.in_flight == {"a": 1}


def test_a_wait_that_runs_out_says_so_and_leaves_the_queue() -> None:
    async def story() -> None:
        turns = turns_of(depth=1, wait_s=30, a=1)
        await turns.take(["a"])

        with pytest.raises(Overloaded) as refused:
            await turns.take(["a"])

        assert refused.value.code is FaultCode.QUEUE_TIMEOUT
        turns.give_back("a")
        assert turns.in_flight == {"a": 0}

    in_no_time(story())


@pytest.mark.parametrize("first", ["grant", "cancel"])
async def test_a_waiter_that_leaves_as_its_turn_comes_loses_none(first: str) -> None:
    turns = turns_of(a=1)
    await turns.take(["a"])
    leaving, next_one = (asyncio.create_task(turns.take(["a"])) for _ in range(2))
    await turns_of_the_loop()

    if first == "grant":
        turns.give_back("a")
        leaving.cancel()
    else:
        leaving.cancel()
        turns.give_back("a")
    await asyncio.wait([leaving])

    assert leaving.cancelled()
    assert await next_one == "a"
    turns.give_back("a")
    assert turns.in_flight == {"a": 0}


@pytest.mark.parametrize("late_s", [-0.001, 0.0, 0.001])
@pytest.mark.parametrize("grant_first", [True, False])
def test_a_wait_that_runs_out_as_its_turn_comes_loses_none(late_s: float, grant_first: bool) -> None:  # noqa: FBT001
    async def story() -> None:
        turns = turns_of(wait_s=10, a=1)
        await turns.take(["a"])
        loop = asyncio.get_running_loop()
        if grant_first:  # of timers for the same instant, the older one runs first
            loop.call_later(10 + late_s, turns.give_back, "a")
        waiting = asyncio.create_task(turns.take(["a"]))
        await asyncio.sleep(0)
        if not grant_first:
            loop.call_later(10 + late_s, turns.give_back, "a")

        await asyncio.wait([waiting])
        await asyncio.sleep(1)

        assert turns.in_flight == {"a": 0 if waiting.exception() else 1}

    in_no_time(story())


# -- every order of events ------------------------------------------------------------------------------------------


@attrs.frozen
class Take:
    candidates: tuple[str, ...]


@attrs.frozen
class GiveBack:
    nth: int


@attrs.frozen
class Leave:
    nth: int


@attrs.frozen
class Pass:
    seconds: float


MOST = {"a": 1, "b": 2}
DEPTH = 3
_nth = st.integers(0, 5)
EVENTS = st.lists(
    st.one_of(
        st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")]).map(Take),
        _nth.map(GiveBack),
        _nth.map(Leave),
        st.sampled_from([0.0, 0.0, 2.5, 10.0]).map(Pass),
    ),
    max_size=40,
)


class Players:
    """Tasks that want a turn, and the turns they have."""

    def __init__(self) -> None:
        self.turns = FirstComeTurns(MOST, depth=DEPTH, wait_s=10)
        self.tasks: list[asyncio.Task[str]] = []
        self.held: list[str] = []

    async def play(self, event: Take | GiveBack | Leave | Pass) -> None:
        match event:
            case Take(candidates):
                self.tasks.append(asyncio.create_task(self.turns.take(candidates)))
            case GiveBack(nth) if self.held:
                self.turns.give_back(self.held.pop(nth % len(self.held)))
            case Leave(nth) if self.tasks:
                self.tasks[nth % len(self.tasks)].cancel()
            case Pass(seconds):
                await asyncio.sleep(seconds)
        self.collect()

    def collect(self) -> None:
        """Moves the turns of finished tasks to those that are held."""
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append(task.result())

    async def rest(self) -> None:
        await turns_of_the_loop()
        self.collect()

    async def all_end(self) -> None:
        while self.tasks or self.held:
            if self.held:
                self.turns.give_back(self.held.pop())
            await self.rest()


@given(EVENTS)
def test_no_order_of_events_breaks_the_cap_or_loses_a_turn(events: list[Take | GiveBack | Leave | Pass]) -> None:
    async def story() -> None:
        players = Players()
        for event in events:
            await players.play(event)
            assert all(players.turns.in_flight[name] <= most for name, most in MOST.items())
            assert all(players.held.count(name) <= players.turns.in_flight[name] for name in MOST)

        await players.rest()
        assert len(players.tasks) <= DEPTH
        assert {name: players.held.count(name) for name in MOST} == players.turns.in_flight
        if players.tasks:  # somebody waits only for what is not free
            assert any(players.turns.in_flight[name] == most for name, most in MOST.items())
        await players.all_end()
        assert set(players.turns.in_flight.values()) == {0}
        assert not players.turns._waiters

    in_no_time(story())
