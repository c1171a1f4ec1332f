"""Turns at the backends: at most so many calls at each at once, and a bounded first-come queue before them.

Ollama itself queues without bound once a model is loaded, so this is the only cap there is.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from domain.faults import FaultCode, Overloaded


class Turns(Protocol):
    """Gives out turns. A turn that was taken is given back exactly once."""

    @abstractmethod
    async def take(self, candidates: Sequence[str]) -> str:
        """Waits for a turn at one of the backends, best first, and says at which.

        Raises:
            Overloaded: too many wait already, or the wait ran out.
        """

    @abstractmethod
    def give_back(self, backend: str) -> None:
        """Ends a turn; the next in line gets it."""

    @property
    @abstractmethod
    def in_flight(self) -> Mapping[str, int]:
        """Turns taken now, by backend."""


@attrs.frozen(eq=False)
class _Waiter:
    candidates: Sequence[str]
    turn: asyncio.Future[str]


class FirstComeTurns(Turns):
    """First come, first served, among those who can use the backend that becomes free. In this process only."""

    def __init__(self, most_in_flight: Mapping[str, int], *, depth: int, wait_s: float) -> None:
        """Takes the cap per backend, how many may wait, and for how long."""
        self._most = dict(most_in_flight)
        self._taken = dict.fromkeys(most_in_flight, 0)
        self._depth = depth
        self._wait_s = wait_s
        self._waiters: deque[_Waiter] = deque()

    @property
    def in_flight(self) -> Mapping[str, int]:
        """Turns taken now, by backend."""
        return self._taken

    async def take(self, candidates: Sequence[str]) -> str:
        """Takes a free turn at once, or waits in line."""
        for backend in candidates:
            if self._taken[backend] < self._most[backend]:
                self._taken[backend] += 1
                return backend
        if sum(not waiter.turn.done() for waiter in self._waiters) >= self._depth:
            raise Overloaded(FaultCode.QUEUE_FULL, "All models are busy and the queue is full. Please try again.")
        return await self._wait(_Waiter(candidates, asyncio.get_running_loop().create_future()))

    def give_back(self, backend: str) -> None:
        """Hands the turn to the first who can use it, or frees it."""
        for waiter in self._waiters:
            if backend in waiter.candidates and not waiter.turn.done():
                waiter.turn.set_result(backend)
                return
        self._taken[backend] -= 1

    async def _wait(self, waiter: _Waiter) -> str:
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._wait_s):
                return await waiter.turn
        except TimeoutError:
            self._return_unused(waiter)
            raise Overloaded(
                FaultCode.QUEUE_TIMEOUT, f"All models stayed busy for {self._wait_s:.0f} s. Please try again."
            ) from None
        except asyncio.CancelledError:
            self._return_unused(waiter)
            raise
        finally:
            self._waiters.remove(waiter)

    def _return_unused(self, waiter: _Waiter) -> None:
        # The turn may have come in the same loop turn in which the waiter left.
        if waiter.turn.done() and not waiter.turn.cancelled():
            self.give_back(waiter.turn.result())
