"""The way of prompts and answers into the journal: off the hot path, sealed, and bounded.

    keep -> waiting (plain, at most 64 MiB) -> sealed (one batch) -> written, all or nothing

A call only hands over; nothing here fails or holds up a call. What does not fit is lost, the newest and not the oldest,
so that what waits stays whole and the gap has one beginning and one end. Its number is logged, and written into the
tenant's audit with the next batch. A batch is sealed once and then written until it is, so that an answer that was lost
cannot make it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Sequence

import structlog

from application.prompt_sealing import Sealing
from domain.faults import Fault
from domain.ports.prompt_journal import PromptJournal, Unwritable
from domain.ports.surroundings import Clock
from domain.prompts import Exchange, SealedExchange

MOST_WAITING_BYTES = 64 * 1024 * 1024
BATCH_BYTES = 2 * 1024 * 1024
"""Of a batch, about: what can be encrypted and encoded without holding up the calls."""
MOST_IN_BATCH = 200
GATHER_S = 0.2
_PAUSE_S = 1.0
_HEADING_BYTES = 1024
"""What an exchange takes beside its text, so that many empty ones are bounded, too."""
_log = structlog.get_logger("neuronetz")


class PromptLog:
    """Keeps the exchanges of one process. `run()` it until it is cancelled, after draining."""

    def __init__(
        self,
        *,
        journal: PromptJournal,
        sealing: Sealing,
        clock: Clock,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
    ) -> None:
        self._journal = journal
        self._sealing = sealing
        self._clock = clock
        self._most_waiting_bytes = most_waiting_bytes
        self._waiting: deque[Exchange] = deque()
        self._waiting_bytes = 0
        self._sealed: Sequence[SealedExchange] = ()
        self._lost_by: Counter[str] = Counter()
        self.lost = 0
        """How many exchanges were not kept so far, although they were to be."""
        self._handed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def keep(self, exchange: Exchange) -> None:
        """Hands over; returns at once."""
        size = _size(exchange)
        if self._waiting_bytes + size > self._most_waiting_bytes:
            self._lose([exchange.heading.tenant_id], "too many wait to be written")
        else:
            self._waiting.append(exchange)
            self._waiting_bytes += size
        self._empty.clear()
        self._handed.set()

    async def run(self) -> None:
        """Writes what is handed over, until cancelled."""
        while True:
            await self._handed.wait()
            self._handed.clear()
            await asyncio.sleep(GATHER_S)
            again = False
            while not await self._write_all(again=again):
                again = True
                await asyncio.sleep(_PAUSE_S)

    async def drain(self, timeout_s: float) -> None:
        """Waits until everything handed over is written, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        left = len(self._sealed) + len(self._waiting)
        if left:
            _log.error("prompts_lost", count=left, reason="the gateway stopped before they could be written")

    async def _write_all(self, *, again: bool) -> bool:
        """Whether there is nothing left to write."""
        try:
            while self._sealed or self._waiting or self._lost_by:
                if not self._sealed:
                    await self._seal_some()
                await self._write_sealed()
        except Fault as fault:
            if not again:
                _log.warning("prompts_not_written", reason=fault.sentence, waiting=len(self._waiting))
            return False
        except Exception:  # noqa: BLE001  a bug must not end the loop, nor lose what waits
            if not again:
                _log.exception("prompts_not_written", waiting=len(self._waiting))
            return False
        self._empty.set()
        return True

    async def _seal_some(self) -> None:
        """Takes from those that wait what is one batch."""
        now, now_s = await self._journal.now(), self._clock.monotonic_s()
        sealed: list[SealedExchange] = []
        size = 0
        try:
            while self._waiting and size < BATCH_BYTES and len(sealed) < MOST_IN_BATCH:
                exchange = self._waiting[0]
                one = await self._sealing(exchange, now=now, age_s=now_s - exchange.ended_s)
                self._waiting.popleft()
                self._waiting_bytes -= _size(exchange)
                size += _size(exchange)
                if one is None:
                    self._lose([exchange.heading.tenant_id], "it expired before it could be written")
                else:
                    sealed.append(one)
        finally:
            self._sealed = sealed

    async def _write_sealed(self) -> None:
        batch, lost = self._sealed, Counter(self._lost_by)
        try:
            await self._journal.write(batch, lost=lost)
        except Unwritable:
            _log.exception("prompts_unwritable")
            self._lost_by.clear() if not batch else self._lose([one.listed.heading.tenant_id for one in batch], "")
        else:
            self._lost_by -= lost
        self._sealed = ()

    def _lose(self, tenant_ids: Sequence[str], reason: str) -> None:
        if not self._lost_by:  # one line for each time that it begins; the audit has the number
            _log.error("prompts_lost", reason=reason, tenant=tenant_ids[0])
        self.lost += len(tenant_ids)
        self._lost_by.update(tenant_ids)


def _size(exchange: Exchange) -> int:
    return exchange.text_bytes + _HEADING_BYTES
