"""Turns in Redis: every question is one script (`lua/turns.lua`) through the process's one lane.

::

    take --> lane --> script --+-- T  a turn, at once
                               +-- F  no place in the queue
                               +-- W  in line --> a future, completed by whichever hears of it first:
                                                  the subscriber (a turn was handed on), or `renew`, once a second

A message that is lost only costs time: the turn is leased in the waiter's name before it is told, so `renew` finds it.

What keeps every turn from being lost or doubled: a turn's id is made up here before anything is asked, and whoever
leaves `take` in any other way than with a turn tells the store to forget that id, wherever it stands by then. The
lane keeps the order of what it is handed, so this comes after the question.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import count

import attrs

from adapters.redis import names
from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts
from adapters.redis.wire import Reply
from adapters.redis.words import packed
from domain.faults import FaultCode, Overloaded, StoreUnavailable
from domain.ports.turns import Candidates, Turn, Turns, TurnStanding

_SERVERS_CLOCK = "-"


@attrs.define(eq=False)
class _Waiter:
    """One `take` under way."""

    wishes: str
    backend: asyncio.Future[str]
    place: str | None = None
    """In line; None until the store has said so."""


class RedisTurns(Turns):
    """The turns of one gateway process among all that share a Redis or Valkey."""

    def __init__(
        self,
        lane: Lane,
        scripts: Scripts,
        *,
        process_id: str,
        most_in_flight: Mapping[str, int],
        depth: int,
        wait_s: float,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """Opens nothing.

        Args:
            lane: carries every command.
            scripts: the same that the lane makes known.
            process_id: of this process alone; turns bear it, and what is given to its waiters is told on its channel.
            most_in_flight: the cap per backend, as this process has it; others may have another for a while.
            depth: how many may wait, over all processes.
            wait_s: how long one may wait.
            now_ms: a test's clock; None, in production, means the server's own.
        """
        self._lane = lane
        self._script = scripts.turns.sha1
        self._most = dict(most_in_flight)
        self._depth = depth
        self._wait_s = wait_s
        self._now_ms = now_ms
        self._ids = (f"{process_id}:{number}" for number in count(1))
        self._taken: dict[str, Turn] = {}
        self._waiters: dict[str, _Waiter] = {}

    # ---- the port ----

    async def take(self, candidates: Candidates) -> Turn:
        """One round trip when there is room."""
        turn_id = next(self._ids)
        backends = [name for tier in candidates for name in tier]
        wishes = " ".join(f"{at}:{name}" for at, tier in enumerate(candidates) for name in tier)
        asked = self._lane.ask(self._command("take", backends, turn_id, wishes, str(self._depth)))
        waiter = self._waiters[turn_id] = _Waiter(wishes, asyncio.get_running_loop().create_future())
        try:
            backend = await self._given(asked, waiter)
        except BaseException:
            # Late, unreadable, out of time or cancelled: by now it may be in line, or have a turn.
            self._lane.tell(self._command("leave", backends, turn_id), keep=True)
            raise
        finally:
            del self._waiters[turn_id]
        if backend is None:
            raise Overloaded(FaultCode.QUEUE_FULL, "All models are busy and the queue is full. Please try again.")
        turn = self._taken[turn_id] = Turn(turn_id, backend)
        return turn

    def give_back(self, turn: Turn) -> None:
        """Kept while there is no connection; running twice changes nothing."""
        if self._taken.pop(turn.id, None) is not None:
            self._lane.tell(self._command("leave", [turn.backend], turn.id), keep=True)

    async def renew(self) -> None:
        """One script for everything. What the store has forgotten is there again: it may have been emptied."""
        waiters = {turn_id: waiter for turn_id, waiter in self._waiters.items() if waiter.place is not None}
        if not (self._taken or waiters):
            return
        words = [str(len(self._taken)), *(text for turn in self._taken.values() for text in (turn.id, turn.backend))]
        for turn_id, waiter in waiters.items():
            words += (turn_id, waiter.place or "", waiter.wishes)
        reply = await self._lane.ask(self._command("renew", self._most, *words))
        if not isinstance(reply, list):
            raise _unreadable(reply)
        for turn_id, backend in zip(reply[::2], reply[1::2], strict=True):
            self._give(turn_id, backend)

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Counted when asked for: it is asked for seldom."""
        return dict.fromkeys(self._most, 0) | Counter(turn.backend for turn in self._taken.values())

    @property
    def waiting(self) -> int:
        """Those whom the store has put in line."""
        return sum(waiter.place is not None for waiter in self._waiters.values())

    async def standing(self) -> TurnStanding:
        """One script."""
        reply = await self._lane.ask(self._command("count", self._most))
        if not isinstance(reply, list):
            raise _unreadable(reply)
        waiting, *taken = map(int, reply)
        return TurnStanding(in_flight=dict(zip(self._most, taken, strict=True)), waiting=waiting)

    # ---- what the subscriber says ----

    def heard(self, message: bytes) -> None:
        """A turn was handed on to someone who waits here. Whoever has left has told the store so already."""
        turn_id, _, backend = message.partition(b" ")
        self._give(turn_id, backend)

    # ---- within ----

    async def _given(self, asked: asyncio.Future[Reply], waiter: _Waiter) -> str | None:
        """The backend; None when the queue is full."""
        try:
            async with asyncio.timeout(self._wait_s):
                reply = await asked
                match reply.split() if isinstance(reply, bytes) else []:
                    case [b"T", backend]:
                        return backend.decode()
                    case [b"W", place]:
                        waiter.place = place.decode()
                        return await waiter.backend
                    case [b"F"]:
                        return None
        except TimeoutError:
            sentence = f"All models stayed busy for {self._wait_s:.0f} s. Please try again."
            raise Overloaded(FaultCode.QUEUE_TIMEOUT, sentence) from None
        raise _unreadable(reply)

    def _give(self, turn_id: bytes, backend: bytes) -> None:
        waiter = self._waiters.get(turn_id.decode(errors="replace"))
        if waiter is not None and not waiter.backend.done():
            waiter.backend.set_result(backend.decode(errors="replace"))

    def _command(self, verb: str, backends: Iterable[str], *arguments: str) -> bytes:
        backends = list(backends)
        keys = [*names.QUEUE, *map(names.turns_at, backends)]
        caps = " ".join(f"{self._most[name]}:{name}" for name in backends)
        now = _SERVERS_CLOCK if self._now_ms is None else str(self._now_ms())
        return packed("EVALSHA", self._script, str(len(keys)), *keys, verb, now, caps, *arguments)


def _unreadable(reply: Reply) -> StoreUnavailable:
    kind = type(reply).__name__
    return StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, f"The answer about turns cannot be read ({kind}).")
