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
from application.prompt_log import PromptLog
from application.readiness import Readiness
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.usage_journal import UsageJournal
from entrypoints.container import Parts
from entrypoints.http.door import Door
from entrypoints.http.reading import take_short_turns
from entrypoints.observability.listener import Render
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
    prompt_log: PromptLog | None
    """None where prompts cannot be kept."""
    render: Render
    """Makes this process's metrics."""
    drain_timeout_s: float
    broken: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when a loop has ended that never should: the process must stop, and be started again."""
    hurried: asyncio.Event = attrs.field(factory=asyncio.Event)
    """Set when an operator does not want to wait for what runs."""
    _draining: asyncio.Task[None] | None = None

    async def first_survey(self) -> None:
        """Looks at the backends once, so that the first request already finds its model."""
        await self.backends.survey_all()

    def leave(self) -> None:
        """Is not ready any more, and sends clients elsewhere with their answers; what comes in is still served."""
        self.readiness.stopping = True

    def begin_to_stop(self) -> None:
        """Takes on nothing new, and begins to drain."""
        self.leave()
        self.readiness.refusing = True
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
            # A call whose body was long on its way may begin when the drain has ended already, for want of others.
            asyncio.get_running_loop().call_later(self.drain_timeout_s, self._cut_all)

    def hurry(self) -> None:
        """Stops, and ends running calls at once, for an operator who does not want to wait for them."""
        self.hurried.set()
        self.begin_to_stop()
        self._cut_all()

    def _cut_all(self) -> None:
        self.readiness.over = True
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
        self.live_calls.cut_all(SHUT_DOWN)
        await self.live_calls.drained()
        await self.ledger.drain(_LAST_SETTLEMENTS_S)
        notes = self.journal.drain(_LAST_SETTLEMENTS_S)
        if self.prompt_log is None:
            await notes
        else:
            await asyncio.gather(notes, self.prompt_log.drain(_LAST_SETTLEMENTS_S))

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
    take_short_turns()
    async with contextlib.AsyncExitStack() as stack:
        await _open_stores(parts, stack)
        prompts = parts.prompts()
        gateway = Gateway(
            door=parts.door(),
            live_calls=parts.live_calls(),
            readiness=parts.readiness(),
            backends=parts.backends(),
            ledger=parts.ledger(),
            journal=parts.journal(),
            prompt_log=prompts.log,
            render=parts.exposition().render,
            drain_timeout_s=settings.drain_timeout_s,
        )
        loops = [
            asyncio.create_task(parts.upkeep().run(), name="upkeep"),
            asyncio.create_task(parts.watch().run(), name="watch"),
            asyncio.create_task(parts.exposition().run(), name="metrics"),
            asyncio.create_task(parts.turns_given().run(), name="turns"),
            asyncio.create_task(prompts.purge.run(), name="prompt purge"),
        ]
        if prompts.log is not None:
            loops.append(asyncio.create_task(prompts.log.run(), name="prompt log"))
        sealer = parts.sealer()
        if sealer is not None:
            loops.append(asyncio.create_task(sealer.run(), name="audit seals"))
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
    tracing = parts.tracing()
    if tracing is not None:
        stack.push_async_callback(tracing.aclose)
    for backend in parts.model_backends():
        stack.push_async_callback(backend.aclose)
    stack.push_async_callback(parts.passwords().aclose)


async def _cancel(loops: Sequence[asyncio.Task[None]]) -> None:
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
