"""What all turns do. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import pytest

from domain.faults import FaultCode, Overloaded, StoreUnavailable
from domain.ports.turns import Turn, Turns, TurnStanding
from tests.fakes.surroundings import FakeClock

A, B, BOTH, B_BEFORE_A = [["a"]], [["b"]], [["a", "b"]], [["b"], ["a"]]
LEASE_S = 30
GIVEN_S = 5
ALIVE_S = 3


class TurnsBench(Protocol):
    """Several processes and what they share."""

    clock: FakeClock

    @abstractmethod
    async def join(self, *, depth: int = 50, wait_s: float = 20, **most: int) -> Turns:
        """One more process."""

    @abstractmethod
    async def lose(self) -> None:
        """The store forgets everything."""

    @abstractmethod
    async def die(self, turns: Turns) -> None:
        """A process says and hears nothing more."""

    @abstractmethod
    async def cut_off(self, turns: Turns) -> None:
        """A process cannot ask the store until further notice."""


async def until(turns: Turns, *, waiting: int, **in_flight: int) -> TurnStanding:
    """Polls until the standing is this one; names that are not given do not matter."""
    found = await turns.standing()
    for _ in range(500):
        if found.waiting == waiting and all(found.in_flight[name] == count for name, count in in_flight.items()):
            return found
        await asyncio.sleep(0.005)
        found = await turns.standing()
    raise AssertionError(found)


async def in_line(turns: Turns, candidates: Sequence[Sequence[str]] = A) -> asyncio.Task[Turn]:
    """A task that waits, in the store's line by now."""
    before = (await turns.standing()).waiting
    task = asyncio.create_task(turns.take(candidates))
    await until(turns, waiting=before + 1)
    return task


async def ended(*tasks: asyncio.Task[Turn]) -> list[Turn]:
    return await asyncio.wait_for(asyncio.gather(*tasks), 5)


async def left(*tasks: asyncio.Task[Turn]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class TurnsContract:
    # ---- which backend ----

    async def test_the_first_tier_with_room_is_taken(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=2, b=1)

        taken = [(await turns.take(B_BEFORE_A)).backend for _ in range(3)]

        assert taken == ["b", "a", "a"]
        assert turns.in_flight == {"a": 2, "b": 1}

    async def test_within_a_tier_the_least_busy_over_all_processes_is_taken(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=4, b=4), await bench.join(a=4, b=4)
        for _ in range(2):
            await other.take(A)

        taken = [(await one.take(BOTH)).backend for _ in range(4)]

        assert taken == ["b", "b", "a", "b"]
        assert one.in_flight == {"a": 1, "b": 3}

    async def test_every_turn_has_an_id_of_its_own(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=9), await bench.join(a=9)

        taken = [await turns.take(A) for turns in (one, other, one, other)]

        assert len({turn.id for turn in taken}) == 4

    # ---- the cap ----

    async def test_however_many_race_no_backend_has_more_than_its_cap(self, bench: TurnsBench) -> None:
        processes = [await bench.join(a=2, b=1) for _ in range(3)]
        now: Counter[str] = Counter()
        most: Counter[str] = Counter()
        barrier = asyncio.Barrier(30)

        async def one(turns: Turns) -> None:
            await barrier.wait()
            turn = await turns.take(BOTH)
            now[turn.backend] += 1
            most[turn.backend] = max(most[turn.backend], now[turn.backend])
            await asyncio.sleep(0.001)
            now[turn.backend] -= 1
            turns.give_back(turn)

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(one(processes[number % 3]))

        assert most == {"a": 2, "b": 1}
        await until(processes[0], waiting=0, a=0, b=0)
        assert [turns.in_flight for turns in processes] == [{"a": 0, "b": 0}] * 3

    async def test_a_smaller_cap_of_one_process_holds_for_what_it_takes(self, bench: TurnsBench) -> None:
        wide, narrow = await bench.join(a=3), await bench.join(a=1)
        await wide.take(A)

        waiter = await in_line(narrow)

        assert (await wide.take(A)).backend == "a"  # whoever may give out more serves the line first
        await ended(waiter)
        await until(wide, waiting=0, a=3)

    # ---- the line ----

    async def test_first_come_first_served_over_all_processes(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=1), await bench.join(a=1)
        last = (one, await one.take(A))
        waiters = [(turns, await in_line(turns)) for turns in (other, one, other, other, one)]

        for number, (turns, task) in enumerate(waiters):
            last[0].give_back(last[1])
            [turn] = await ended(task)
            await until(one, waiting=len(waiters) - number - 1, a=1)
            last = (turns, turn)

    async def test_a_turn_goes_to_the_first_who_can_use_it(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=1, b=1), await bench.join(a=1, b=1)
        on_a, on_b = await one.take(A), await one.take(B)
        for_a = await in_line(other, A)
        for_both = await in_line(other, BOTH)

        one.give_back(on_b)

        [second] = await ended(for_both)
        assert second.backend == "b"
        await until(one, waiting=1, a=1, b=1)
        one.give_back(on_a)
        await ended(for_a)

    async def test_a_place_far_down_the_line_is_found(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1, b=1)
        await turns.take(A)
        on_b = await turns.take(B)
        for_a = [await in_line(turns, A) for _ in range(20)]
        for_b = await in_line(turns, B)
        for_a += [await in_line(turns, A) for _ in range(15)]

        turns.give_back(on_b)

        await ended(for_b)
        await until(turns, waiting=35, a=1, b=1)
        await left(*for_a)
        await until(turns, waiting=0, a=1, b=1)

    async def test_who_wants_another_backend_does_not_wait(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1, b=1)
        await turns.take(A)
        waiter = await in_line(turns, A)

        assert (await turns.take(B)).backend == "b"

        await left(waiter)

    async def test_nobody_overtakes_a_waiter_who_was_given_the_turn(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1)
        first = await turns.take(A)
        waiter = await in_line(turns)

        turns.give_back(first)
        late = asyncio.create_task(turns.take(A))

        await ended(waiter)
        await until(turns, waiting=1, a=1)
        assert not late.done()
        await left(late)

    async def test_a_queue_that_is_full_says_so_at_once_to_every_process(self, bench: TurnsBench) -> None:
        one, other = await bench.join(depth=1, a=1), await bench.join(depth=1, a=1)
        await one.take(A)
        waiter = await in_line(one)

        for turns in (one, other):
            with pytest.raises(Overloaded) as refused:
                await turns.take(A)
            assert refused.value.code is FaultCode.QUEUE_FULL

        assert (one.waiting, other.waiting) == (1, 0)
        await left(waiter)

    async def test_where_none_may_wait_the_cap_alone_counts(self, bench: TurnsBench) -> None:
        turns = await bench.join(depth=0, a=1)
        turn = await turns.take(A)

        with pytest.raises(Overloaded):
            await turns.take(A)

        turns.give_back(turn)
        assert (await turns.take(A)).backend == "a"

    async def test_who_has_left_takes_no_place_in_the_queue(self, bench: TurnsBench) -> None:
        turns = await bench.join(depth=1, a=1)
        first = await turns.take(A)
        await left(await in_line(turns))

        next_one = await in_line(turns)

        turns.give_back(first)
        await ended(next_one)

    async def test_a_wait_that_runs_out_says_so_and_leaves_the_queue(self, bench: TurnsBench) -> None:
        one, other = await bench.join(wait_s=0.05, a=1), await bench.join(a=1)
        first = await other.take(A)

        with pytest.raises(Overloaded) as refused:
            await one.take(A)

        assert refused.value.code is FaultCode.QUEUE_TIMEOUT
        assert one.waiting == 0
        await until(other, waiting=0, a=1)
        other.give_back(first)
        await until(other, waiting=0, a=0)

    # ---- endings ----

    async def test_a_turn_given_back_twice_frees_one_place(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=2)
        first = await turns.take(A)
        await turns.take(A)

        turns.give_back(first)
        turns.give_back(first)

        await until(turns, waiting=0, a=1)
        assert turns.in_flight == {"a": 1}

    async def test_a_turn_given_back_twice_is_handed_on_once(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1)
        first = await turns.take(A)
        waiters = [await in_line(turns) for _ in range(2)]

        turns.give_back(first)
        turns.give_back(first)

        await until(turns, waiting=1, a=1)
        await left(*waiters)

    @pytest.mark.parametrize("steps", range(6))
    @pytest.mark.parametrize("granted", [True, False], ids=["granted", "as it asks"])
    async def test_who_is_cancelled_at_any_point_keeps_nothing(
        self,
        bench: TurnsBench,
        steps: int,
        granted: bool,  # noqa: FBT001
    ) -> None:
        """As it asks, in line, as its turn comes, and after."""
        one, other = await bench.join(a=1), await bench.join(a=1)
        first = await one.take(A)
        leaving = await in_line(other) if granted else asyncio.create_task(other.take(A))
        if granted:
            one.give_back(first)
        for _ in range(steps):
            await asyncio.sleep(0)

        leaving.cancel()
        [end] = await asyncio.gather(leaving, return_exceptions=True)

        if isinstance(end, Turn):
            other.give_back(end)
        if not granted:
            one.give_back(first)
        await until(one, waiting=0, a=0)
        assert other.in_flight == {"a": 0}
        assert (await one.take(A)).backend == "a"

    async def test_a_waiter_that_leaves_as_its_turn_comes_passes_it_on(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1)
        first = await turns.take(A)
        leaving, next_one = await in_line(turns), await in_line(turns)

        turns.give_back(first)
        leaving.cancel()

        await ended(next_one)
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        await until(turns, waiting=0, a=1)

    # ---- processes that die, stores that forget ----

    async def test_a_turn_that_is_renewed_outlives_its_lease(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1)
        await turns.take(A)

        for _ in range(5):
            bench.clock.advance(LEASE_S - 1)
            await turns.renew()

        assert (await turns.standing()).in_flight == {"a": 1}

    async def test_turns_of_a_dead_process_are_free_after_the_lease_and_not_before(self, bench: TurnsBench) -> None:
        doomed, other = await bench.join(a=1), await bench.join(a=1)
        await doomed.take(A)
        waiter = await in_line(other)
        await bench.die(doomed)

        for _ in range(LEASE_S - 1):
            bench.clock.advance(1)
            await other.renew()
        await until(other, waiting=1, a=1)
        bench.clock.advance(1)
        await other.renew()

        await ended(waiter)

    async def test_a_new_call_takes_what_a_dead_process_left(self, bench: TurnsBench) -> None:
        doomed, other = await bench.join(a=1), await bench.join(a=1)
        await doomed.take(A)
        await bench.die(doomed)

        bench.clock.advance(LEASE_S)

        assert (await other.take(A)).backend == "a"

    async def test_the_line_comes_before_a_new_call_when_a_lease_has_run_out(self, bench: TurnsBench) -> None:
        doomed, other = await bench.join(a=1), await bench.join(a=1)
        await doomed.take(A)
        waiter = await in_line(other)
        await bench.die(doomed)
        for _ in range(LEASE_S // 2):
            bench.clock.advance(2)
            if (await other.standing()).in_flight == {"a": 1}:
                await other.renew()

        late = asyncio.create_task(other.take(A))

        await ended(waiter)
        await until(other, waiting=1, a=1)
        await left(late)

    async def test_waiters_of_a_dead_process_are_out_of_the_line(self, bench: TurnsBench) -> None:
        doomed, other = await bench.join(depth=2, a=1), await bench.join(depth=2, a=1)
        first = await other.take(A)
        ghosts = [await in_line(doomed) for _ in range(2)]
        await bench.die(doomed)

        with pytest.raises(Overloaded):
            await other.take(A)
        bench.clock.advance(ALIVE_S)
        waiter = asyncio.create_task(other.take(A))

        await until(other, waiting=1, a=1)
        other.give_back(first)
        await ended(waiter)
        await left(*ghosts)

    async def test_a_turn_that_a_dead_process_was_given_is_free_soon(self, bench: TurnsBench) -> None:
        doomed, other = await bench.join(a=1), await bench.join(a=1)
        first = await other.take(A)
        ghost = await in_line(doomed)
        await bench.die(doomed)
        other.give_back(first)
        waiter = await in_line(other)

        for _ in range(GIVEN_S - 1):
            bench.clock.advance(1)
            await other.renew()
        assert not waiter.done()
        bench.clock.advance(1)
        await other.renew()

        await ended(waiter)
        await left(ghost)

    async def test_a_turn_that_was_given_is_kept_as_long_as_any_once_it_is_renewed(self, bench: TurnsBench) -> None:
        doomed, other = await bench.join(a=1), await bench.join(a=1)
        first = await other.take(A)
        waiter = await in_line(doomed)
        other.give_back(first)
        await ended(waiter)
        await doomed.renew()
        await bench.die(doomed)

        bench.clock.advance(LEASE_S - 1)
        assert (await other.standing()).in_flight == {"a": 1}
        bench.clock.advance(1)

        assert (await other.standing()).in_flight == {"a": 0}

    async def test_a_waiter_that_is_renewed_stays_in_line(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1)
        first = await turns.take(A)
        waiter = await in_line(turns)

        for _ in range(5):
            bench.clock.advance(ALIVE_S - 1)
            await turns.renew()

        assert (await turns.standing()).waiting == 1
        turns.give_back(first)
        await ended(waiter)

    async def test_a_store_that_forgot_everything_is_told_again(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=2), await bench.join(a=2)
        turns = [await one.take(A), await other.take(A)]
        waiters = [await in_line(each) for each in (one, other, one)]
        await bench.lose()
        assert (await one.standing()) == TurnStanding(in_flight={"a": 0}, waiting=0)

        for each in (one, other):
            await each.renew()

        await until(one, waiting=2, a=3)  # for a moment a place looked free: the other had not told yet
        one.give_back(turns[0])
        other.give_back(turns[1])
        await until(one, waiting=1, a=2)
        await left(*waiters)

    async def test_who_waits_keeps_its_place_when_the_store_forgets(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=1), await bench.join(a=1)
        first = await one.take(A)
        earlier, later = await in_line(one), await in_line(other)
        await bench.lose()
        await one.renew()

        await other.renew()

        one.give_back(first)
        await ended(earlier)
        await until(one, waiting=1, a=1)
        await left(later)

    async def test_renewing_nothing_makes_nothing(self, bench: TurnsBench) -> None:
        turns = await bench.join(a=1)
        turn = await turns.take(A)
        turns.give_back(turn)

        await turns.renew()

        assert await turns.standing() == TurnStanding(in_flight={"a": 0}, waiting=0)

    # ---- the store is away ----

    async def test_without_the_store_no_turn_is_given_and_those_that_run_go_on(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=3), await bench.join(a=3)
        turn = await one.take(A)
        await bench.cut_off(one)

        for question in (one.take(A), one.renew(), one.standing()):
            with pytest.raises(StoreUnavailable) as refused:
                await question
            assert refused.value.code is FaultCode.LIMITER_UNAVAILABLE

        assert one.in_flight == {"a": 1}
        one.give_back(turn)
        assert one.in_flight == {"a": 0}
        assert (await other.take(A)).backend == "a"

    # ---- the picture ----

    async def test_the_standing_is_of_all_processes_and_the_counts_are_of_one(self, bench: TurnsBench) -> None:
        one, other = await bench.join(a=1, b=2), await bench.join(a=1, b=2)
        await one.take(A)
        await other.take(B)
        waiter = await in_line(one)

        standing = TurnStanding(in_flight={"a": 1, "b": 1}, waiting=1)
        assert [await turns.standing() for turns in (one, other)] == [standing] * 2
        assert (one.in_flight, other.in_flight) == ({"a": 1, "b": 0}, {"a": 0, "b": 1})
        assert (one.waiting, other.waiting) == (1, 0)
        await left(waiter)
