"""One place among N, and who is in it: a child that is kept there, and at times replaced.

    empty -> started -> listening -----------------------> gone (ended, or leaving by itself) -> a pause -> started ...
                            |
                            +-- replaced: the new one listens, then the old one is let go

One task does all of it, one thing after the other, so a child that dies while its successor is started is no special
case: the task looks what there is when it comes round again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import attrs
import structlog

from entrypoints.parent.backoff import pause_s, short_lives_after
from entrypoints.parent.child import Child

_log = structlog.get_logger("neuronetz")


class Start(Protocol):
    """Starts a child."""

    async def __call__(self, place: int, on_news: Callable[[], None], *, must_be_ready: bool) -> Child:
        """Started; it may have ended when this returns.

        Args:
            place: 1 to N.
            on_news: as the child's own.
            must_be_ready: whether every part must be well before it listens.

        Raises:
            OSError: it cannot be started.
        """
        ...


@attrs.define(eq=False)
class Slot:
    """One place."""

    place: int
    _start: Start
    _start_patience_s: float
    """For a child to listen."""
    child: Child | None = None
    restarts: int = 0
    _short_lives: int = 0
    _news: asyncio.Event = attrs.field(factory=asyncio.Event)
    _wish: asyncio.Future[bool] | None = None

    async def begin(self) -> None:
        """Puts the first child in."""
        self.child = await self._started(must_be_ready=False)

    async def begun(self) -> bool:
        """Whether the first child listens; returns when that is known."""
        return self.child is not None and await self._listens(self.child)

    async def keep(self) -> None:
        """Keeps a child in this place until cancelled."""
        while True:
            self._news.clear()
            if self._wish is not None:
                await self._replace(self._wish)
                self._wish = None
            elif self.child is None or self.child.gone:
                await self._start_again()
            else:
                await self._news_of(self.child)

    async def replace(self) -> bool:
        """Puts another child in, and lets the present one go when it listens; says whether it came to that."""
        self._wish = asyncio.get_running_loop().create_future()
        self._news.set()
        return await self._wish

    async def _replace(self, wish: asyncio.Future[bool]) -> None:
        new = await self._started(must_be_ready=True)
        listens = new is not None and await self._listens(new)
        if listens:
            old, self.child = self.child, new
            self._short_lives = 0
            if old is not None:
                old.let_go()
        elif new is not None:
            new.kill()  # it has served nobody
        if not wish.done():
            wish.set_result(listens)

    async def _start_again(self) -> None:
        lived_s = 0.0 if self.child is None else asyncio.get_running_loop().time() - self.child.started_s
        self.child = None
        self._short_lives = short_lives_after(self._short_lives, lived_s)
        rest_s = pause_s(self._short_lives)
        if rest_s:
            _log.warning("process_start_waits", process=self.place, seconds=rest_s, short_lives=self._short_lives)
            await self._rest(rest_s)
        if self._wish is None:
            self.restarts += 1
            self.child = await self._started(must_be_ready=False)

    async def _news_of(self, child: Child) -> None:
        """Returns when there are any. A child that hangs before it listens is killed: it would never give any."""
        left_s = child.started_s + self._start_patience_s - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(None if child.listening else left_s):
                await self._news.wait()
        except TimeoutError:
            _log.error("process_start_given_up", process=self.place, after_s=self._start_patience_s)
            child.kill()
            await child.over()

    async def _started(self, *, must_be_ready: bool) -> Child | None:
        try:
            return await self._start(self.place, self._news.set, must_be_ready=must_be_ready)
        except OSError as error:
            _log.error("process_not_started", process=self.place, reason=str(error))
            return None

    async def _rest(self, seconds: float) -> None:
        """A pause, which a wish for another child cuts short."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._wish is None:
                    self._news.clear()
                    await self._news.wait()

    async def _listens(self, child: Child) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._start_patience_s):
                while not (child.listening or child.gone):
                    self._news.clear()
                    await self._news.wait()
        return child.listening and not child.gone
