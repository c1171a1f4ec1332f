"""Argon2id in threads of its own: 27 ms and 19 MiB each, so few at once, and a short queue.

A place in the queue belongs to the worker that will do it, not to whoever waits: a caller who leaves does not make
room for the next, or a loop of connect-and-leave could queue without end.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from adapters.system import argon2id
from domain.faults import FaultCode, Overloaded
from domain.keys import Secret
from domain.ports.surroundings import PasswordHash

_T = TypeVar("_T")
_QUEUE = 32


class Argon2Passwords(PasswordHash):
    """A bounded pool."""

    def __init__(self, *, workers: int | None = None, queue: int = _QUEUE) -> None:
        """Starts no thread before the first hash.

        Args:
            workers: threads; by default one less than this host has cores, at least one.
            queue: how many may wait for a thread.
        """
        threads = workers or max(1, (os.cpu_count() or 1) - 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._places = threading.Semaphore(threads + queue)
        self._closed = False
        self.verifications = 0
        """Asked for so far."""

    async def hash(self, secret: Secret) -> str:
        """A PHC string with today's parameters."""
        return await self._run(lambda: argon2id.make(secret.unwrap()))

    async def verify(self, secret: Secret, stored: str) -> bool:
        """Whether the secret made this hash."""
        self.verifications += 1
        return await self._run(lambda: argon2id.matches(secret.unwrap(), stored))

    def outdated(self, stored: str) -> bool:
        """Whether a stored hash is weaker than what is made today."""
        return argon2id.is_weaker(stored)

    async def aclose(self) -> None:
        """Finishes what is queued (a second at most) and ends the threads."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._closed:
            raise Overloaded(FaultCode.SHUTTING_DOWN, "The gateway is shutting down. Please try again.")
        if not self._places.acquire(blocking=False):
            raise Overloaded(FaultCode.OVERLOADED, "Too many keys are being verified at once.")
        # Shielded: cancelling must not take the work out of the queue, since the worker gives the place back.
        return await asyncio.shield(asyncio.wrap_future(self._pool.submit(self._work, work)))

    def _work(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        finally:
            self._places.release()
