"""Turns in memory: one board for all processes of a test, with leases that run out by the board's clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import count

import attrs

from domain.faults import FaultCode, Overloaded, StoreUnavailable
from domain.ports.turns import Candidates, Turn, Turns, TurnStanding

_LEASE_MS = 30_000
_GIVEN_MS = 5_000
_ALIVE_MS = 3_000


@attrs.define(eq=False)
class Waiter:
    """Somebody in line."""

    turn_id: str
    place: int
    owner: MemoryTurns
    candidates: Candidates
    turn: asyncio.Future[str]
    alive_until_ms: int


@attrs.define(eq=False)
class TurnBoard:
    """What all processes share. Without a clock no lease ever runs out."""

    now_ms: Callable[[], int] = lambda: 0
    leases: dict[str, tuple[str, int]] = attrs.field(factory=dict)
    """Turn id -> backend, and when its lease ends."""
    line: list[Waiter] = attrs.field(factory=list)
    places: Iterator[int] = attrs.field(factory=count)

    def taken(self, backend: str) -> int:
        return sum(at == backend and ends > self.now_ms() for at, ends in self.leases.values())

    def lease(self, turn_id: str, backend: str, for_ms: int = _LEASE_MS) -> None:
        self.leases[turn_id] = (backend, self.now_ms() + for_ms)

    def best_of(self, candidates: Candidates, most: Mapping[str, int]) -> str | None:
        for tier in candidates:
            free = [name for name in tier if name in most and self.taken(name) < most[name]]
            if free:
                return min(free, key=self.taken)
        return None

    def put_in_line(self, waiter: Waiter) -> None:
        """At its own place, even when it comes back."""
        self.line.append(waiter)
        self.line.sort(key=lambda each: each.place)

    def drop_the_dead(self) -> None:
        self.line = [waiter for waiter in self.line if waiter.alive_until_ms > self.now_ms()]

    def hand_on(self, most: Mapping[str, int]) -> None:
        self.drop_the_dead()
        for waiter in list(self.line):
            backend = self.best_of(waiter.candidates, most)
            if backend is not None:
                self.line.remove(waiter)
                self.lease(waiter.turn_id, backend, _GIVEN_MS)
                waiter.owner.hear(waiter, backend)

    def forget(self) -> None:
        """As a store that was flushed."""
        self.leases.clear()
        self.line.clear()


class MemoryTurns(Turns):
    """The turns of one process."""

    def __init__(
        self, most_in_flight: Mapping[str, int], *, depth: int, wait_s: float, board: TurnBoard | None = None
    ) -> None:
        self.board = board or TurnBoard()
        self.down = False
        """Whether the store cannot be asked."""
        self.dead = False
        """Whether this process says and hears nothing more."""
        self._most = dict(most_in_flight)
        self._depth = depth
        self._wait_s = wait_s
        self._ids = (f"{id(self)}:{number}" for number in count(1))
        self._taken: dict[str, Turn] = {}
        self._waiters: list[Waiter] = []

    @property
    def in_flight(self) -> Mapping[str, int]:
        return dict.fromkeys(self._most, 0) | Counter(turn.backend for turn in self._taken.values())

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    async def take(self, candidates: Candidates) -> Turn:
        self._must_be_up()
        turn_id = next(self._ids)
        backend = self._at_once(candidates)
        if backend is None:
            backend = await self._wait(self._in_line(turn_id, candidates))
        else:
            self.board.lease(turn_id, backend)
        turn = self._taken[turn_id] = Turn(turn_id, backend)
        return turn

    def give_back(self, turn: Turn) -> None:
        if self._taken.pop(turn.id, None) is not None:
            self._leave(turn.id)

    async def renew(self) -> None:
        self._must_be_up()
        for turn in self._taken.values():
            self.board.lease(turn.id, turn.backend)
        for waiter in self._waiters:
            waiter.alive_until_ms = self.board.now_ms() + _ALIVE_MS
            if waiter not in self.board.line and not waiter.turn.done():
                self.board.put_in_line(waiter)
        self.board.hand_on(self._most)

    async def standing(self) -> TurnStanding:
        self._must_be_up()
        self.board.drop_the_dead()
        return TurnStanding(
            in_flight={name: self.board.taken(name) for name in self._most}, waiting=len(self.board.line)
        )

    def hear(self, waiter: Waiter, backend: str) -> None:
        if not self.dead and not waiter.turn.done():
            waiter.turn.set_result(backend)

    def _must_be_up(self) -> None:
        if self.down:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "The rate limiter cannot be reached.")

    def _at_once(self, candidates: Candidates) -> str | None:
        if self.board.best_of(candidates, self._most) is not None:
            self.board.hand_on(self._most)
        return self.board.best_of(candidates, self._most)

    def _in_line(self, turn_id: str, candidates: Candidates) -> Waiter:
        self.board.drop_the_dead()
        if len(self.board.line) >= self._depth:
            raise Overloaded(FaultCode.QUEUE_FULL, "All models are busy and the queue is full. Please try again.")
        turn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        return Waiter(turn_id, next(self.board.places), self, candidates, turn, self.board.now_ms() + _ALIVE_MS)

    async def _wait(self, waiter: Waiter) -> str:
        self.board.put_in_line(waiter)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiter.turn
        except TimeoutError:
            self._leave(waiter.turn_id)
            sentence = f"All models stayed busy for {self._wait_s:.0f} s. Please try again."
            raise Overloaded(FaultCode.QUEUE_TIMEOUT, sentence) from None
        except BaseException:
            self._leave(waiter.turn_id)
            raise
        finally:
            self._waiters.remove(waiter)

    def _leave(self, turn_id: str) -> None:
        if self.dead:
            return
        self.board.leases.pop(turn_id, None)
        self.board.line = [waiter for waiter in self.board.line if waiter.turn_id != turn_id]
        self.board.hand_on(self._most)
