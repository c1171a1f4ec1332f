"""One gateway process: its parts connected, its loops kept going, and all of it let go in reverse.

stores opened -> loops started -> served -> drained -> settled -> loops ended -> stores closed
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import attrs
import structlog
from dependency_injector import providers

from application.backends import Backends
from application.live_calls import SHUT_DOWN, LiveCalls
from application.readiness import Readiness
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.usage_journal import UsageJournal
from entrypoints.container import Parts
from entrypoints.http.door import Door
from entrypoints.settings import Settings

_LAST_SETTLEMENTS_S = 5.0
_log = structlog.get_logger("neuronetz")


@attrs.define(kw_only=True, eq=False)
class Gateway:
    """One gateway process, put together and connected."""

    door: Door
    live_calls: LiveCalls
    readiness: Readiness
    backends: Backends
    ledger: BudgetLedger
    journal: UsageJournal
    drain_timeout_s: float
    broken: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when a loop has ended that never should: the process must stop, and be started again."""
    _draining: asyncio.Task[None] | None = None

    async def first_survey(self) -> None:
        """Looks at the backends once, so that the first request already finds its model."""
        await self.backends.survey_all()

    def begin_to_stop(self) -> None:
        """Takes on nothing new, and begins to drain."""
        self.readiness.stopping = True
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())

    def cut_all(self) -> None:
        """Ends running calls at once, for an operator who does not want to wait for them."""
        self.live_calls.cut_all(SHUT_DOWN)

    async def drained(self) -> None:
        """Lets running calls end, cuts those that do not in time, and settles everything."""
        self.begin_to_stop()
        if self._draining is not None:
            await asyncio.shield(self._draining)

    async def close(self) -> None:
        """Drains, and then settles once more what the server still let in while it closed its connections."""
        await self.drained()
        await self._settle()

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.drain_timeout_s):
                await self.live_calls.drained()
        await self._settle()

    async def _settle(self) -> None:
        self.cut_all()
        await self.live_calls.drained()
        await self.ledger.drain(_LAST_SETTLEMENTS_S)
        await self.journal.drain(_LAST_SETTLEMENTS_S)

    def watch_over(self, loop: asyncio.Task[None]) -> None:
        """Notices when a loop ends by itself."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                _log.critical("loop_ended", loop=task.get_name(), exc_info=task.exception())
                self.broken.set()

        loop.add_done_callback(ended)


@contextlib.asynccontextmanager
async def open_gateway(settings: Settings, parts: Parts | None = None) -> AsyncIterator[Gateway]:
    """Connects the parts of one process, keeps its loops going, and lets everything go in reverse.

    Args:
        settings: the operator's.
        parts: others than the ordinary ones, for tests.
    """
    parts = parts or Parts(settings=providers.Object(settings))
    async with contextlib.AsyncExitStack() as stack:
        await _open_stores(parts, stack)
        gateway = Gateway(
            door=parts.door(),
            live_calls=parts.live_calls(),
            readiness=parts.readiness(),
            backends=parts.backends(),
            ledger=parts.ledger(),
            journal=parts.journal(),
            drain_timeout_s=settings.drain_timeout_s,
        )
        loops = [
            asyncio.create_task(parts.upkeep().run(), name="upkeep"),
            asyncio.create_task(parts.watch().run(), name="watch"),
        ]
        for loop in loops:
            gateway.watch_over(loop)
        stack.push_async_callback(_cancel, loops)
        stack.push_async_callback(gateway.close)
        yield gateway


async def _open_stores(parts: Parts, stack: contextlib.AsyncExitStack) -> None:
    pool, ledger_lane, limit_lane, journal = parts.pool(), parts.ledger_lane(), parts.limit_lane(), parts.journal()
    await pool.open()
    stack.push_async_callback(pool.close)
    await ledger_lane.start()
    stack.push_async_callback(ledger_lane.stop)
    await limit_lane.start()
    stack.push_async_callback(limit_lane.aclose)
    await journal.start()
    stack.push_async_callback(journal.stop)
    for backend in parts.model_backends():
        stack.push_async_callback(backend.aclose)
    stack.push_async_callback(parts.passwords().aclose)


async def _cancel(loops: Sequence[asyncio.Task[None]]) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
