"""A deadline that moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timer:
    """One deadline at a time. Moving it costs nothing unless it comes nearer: what is armed looks again when it rings.

    Two or three moves a request would otherwise each make a timer of the loop's, and cancel one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at = 0.0
        self._then: Callable[[], None] | None = None
        self._armed: asyncio.TimerHandle | None = None

    def within(self, seconds: float, then: Callable[[], None]) -> None:
        """Calls `then` in so many seconds, instead of what was to be called."""
        self._at, self._then = self._loop.time() + seconds, then
        if self._armed is not None and self._armed.when() > self._at:
            self._armed.cancel()
            self._armed = None
        if self._armed is None:
            self._armed = self._loop.call_at(self._at, self._ring)

    def runs_for(self, then: Callable[[], None]) -> bool:
        """Whether this is what it will call."""
        return self._then == then

    def stop(self) -> None:
        """Calls nothing."""
        self._then = None

    def cancel(self) -> None:
        """The same, and lets go of what would otherwise be kept until it rings."""
        self._then = None
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None

    def _ring(self) -> None:
        self._armed = None
        if self._then is None:
            return
        if self._loop.time() < self._at:
            self._armed = self._loop.call_at(self._at, self._ring)
            return
        then, self._then = self._then, None
        then()
