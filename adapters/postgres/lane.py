"""The ledger lane: one connection, one owner task, one FIFO for holds and settlements together.

::

    hold()   -+                        +- in flight: one batch, one statement, one commit
    settle() -+--> FIFO --> take() ----+
    ping()   -+     ^                  +- answered: futures completed
                    +---- put back ----+- lost or failed: in front again, in their order

There is no waiting window: while one batch is in flight the next one gathers. Callers never await a socket, only a
future that the owner completes, so a caller that is cancelled leaves nothing half done.

What was lost with its answer is sent again, and may be: the ledger is idempotent by request id, and the connection is
fenced against its predecessor (`lane_connection`). What PostgreSQL refuses is refused to the holds at once, and tried
again for the settlements, first together, then one by one, so that one it will never take does not stop the others.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from uuid import UUID

import attrs
import psycopg
import structlog

from adapters.postgres.address import DatabaseAddress
from adapters.postgres.lane_connection import open_lane_wire
from adapters.postgres.lane_queue import Asked, Batch, LaneQueue, Settled
from adapters.postgres.ledger_words import batch_words, read_verdicts
from adapters.postgres.wire import ConnectionLost, StatementFailed, Wire
from domain.faults import FaultCode, StoreUnavailable
from domain.ports.budget_ledger import HoldVerdict

_log = structlog.get_logger("neuronetz")

_TRIES_TOGETHER = 3
_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 1.0
_LONGEST_PAUSE_ALONE_S = 5.0


@attrs.frozen(kw_only=True)
class LaneSettings:
    """How patient the lane is."""

    patience_s: float = 1.0
    """How long a caller waits for its verdict."""
    statement_timeout_s: float = 3.0
    most_in_batch: int = 256


class Lane:
    """The lane of one gateway process. Build it, `start()` it in a running loop, `stop()` it after draining."""

    def __init__(self, address: DatabaseAddress, process_id: UUID, settings: LaneSettings | None = None) -> None:
        self._address = address
        self._process_id = process_id
        self._settings = settings or LaneSettings()
        self._queue = LaneQueue(self._settings.most_in_batch)
        self._unsettled = 0
        self._wire: Wire | None = None
        self._closed_because: str | None = None
        self._failures = 0
        self._awake = asyncio.Event()
        self._all_settled = asyncio.Event()
        self._all_settled.set()
        self._owner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the owner. Returns at once; PostgreSQL may come later."""
        self._owner = asyncio.create_task(self._run(), name="ledger-lane")

    async def stop(self) -> None:
        """Ends the owner and the connection. What is not settled by now is left to the reaper: drain first."""
        self._closed_because = "The ledger is closed."
        if self._owner is not None:
            self._owner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._owner
        self._queue.fail_asked(self._closed_because)
        if self._wire is not None:
            self._wire.close()

    async def hold(self, request_id: str, words: bytes) -> HoldVerdict:
        """Queues a hold and waits for its verdict, at most `patience_s`.

        Raises:
            StoreUnavailable: closed; it may have been held all the same.
        """
        verdict = await self._ask(request_id, words)
        if verdict is None:
            raise AssertionError("only a ping is answered without a verdict")
        return verdict

    async def ping(self) -> None:
        """Goes the way of a hold, and asks whether one could be written.

        Raises:
            StoreUnavailable: no.
        """
        await self._ask("", b"")

    def settle(self, request_id: str, words: bytes) -> None:
        """Queues a settlement."""
        self._count_unsettled(1)
        self._queue.add(Settled(request_id, words))
        self._awake.set()

    @property
    def unsettled(self) -> int:
        """Settlements handed over and not yet committed."""
        return self._unsettled

    @property
    def connected(self) -> bool:
        """Whether holds can be asked for now."""
        return self._wire is not None and self._closed_because is None

    async def drain(self, timeout_s: float) -> None:
        """Waits until every settlement is committed, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._all_settled.wait()

    async def _ask(self, request_id: str, words: bytes) -> HoldVerdict | None:
        if self._closed_because is not None:
            await asyncio.sleep(0)  # a caller that tries again and again must not keep the owner from reconnecting
            raise StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, self._closed_because)
        loop = asyncio.get_running_loop()
        asked = Asked(request_id, words, loop.create_future())
        self._queue.add(asked)
        self._awake.set()
        timer = loop.call_later(self._settings.patience_s, asked.give_up)
        try:
            return await asked.verdict
        finally:
            timer.cancel()

    # ---- the owner ----

    async def _run(self) -> None:
        """Outlives its own bugs: without an owner every caller would wait in vain, and nobody would know why."""
        failed = False
        while True:
            try:
                if failed:
                    failed = False
                    await asyncio.sleep(_LONGEST_PAUSE_S)
                await self._go_on()
            except Exception:  # noqa: BLE001  as above; the log tells
                failed = True
                _log.exception("ledger_lane_failed")
                if self._wire is not None:
                    self._wire.close()

    async def _go_on(self) -> None:
        if self._wire is None or self._wire.lost:
            await self._reconnect()
        elif self._queue:
            await self._carry(self._wire, self._queue.take())
        else:
            self._awake.clear()
            await self._awake.wait()

    async def _carry(self, wire: Wire, batch: Batch) -> None:
        if not batch.entries:
            return
        try:
            verdicts = await self._send(wire, batch.settles, batch.holds)
        except ConnectionLost:
            self._queue.put_back(batch.entries)
        except StatementFailed as failure:
            await self._after_failure(wire, batch, failure)
        else:
            self._failures = 0
            for hold, verdict in zip(batch.holds, verdicts, strict=True):
                hold.complete(verdict)
            for ping in batch.asked:
                ping.complete(None)
            self._count_unsettled(-len(batch.settles))

    async def _send(self, wire: Wire, settles: Sequence[Settled], holds: Sequence[Asked]) -> Sequence[HoldVerdict]:
        try:
            question = batch_words(self._process_id.hex, [s.words for s in settles], [h.words for h in holds])
            return read_verdicts(await self._asked(wire, question), len(holds))
        except (ConnectionLost, StatementFailed):
            raise
        except Exception as error:  # no answer to this question, or a bug: the batch must not be lost by it
            _log.exception("ledger_batch_not_sent")
            raise StatementFailed("", type(error).__name__) from error

    async def _asked(self, wire: Wire, question: bytes) -> bytes:
        try:
            return await wire.ask(question, patience_s=self._settings.statement_timeout_s + 1)
        except (ConnectionLost, StatementFailed):
            raise
        except Exception:
            wire.close()  # a bug: what the wire is in the middle of is not known
            raise

    def _count_unsettled(self, change: int) -> None:
        self._unsettled += change
        if self._unsettled:
            self._all_settled.clear()
        else:
            self._all_settled.set()

    # ---- when PostgreSQL refuses ----

    async def _after_failure(self, wire: Wire, batch: Batch, failure: StatementFailed) -> None:
        for asked in batch.asked:
            asked.fail("The budget ledger cannot be written.")
        settles = batch.settles
        _log.error("ledger_batch_failed", reason=str(failure), sqlstate=failure.sqlstate, settlements=len(settles))
        if not settles:
            return
        if settles[0].alone:
            self._leave_alone(settles[0])
            return
        self._failures += 1
        if self._failures < _TRIES_TOGETHER or not await self._send_singly(wire, settles):
            self._queue.put_back(settles)
            await asyncio.sleep(_pause_s(self._failures))

    async def _send_singly(self, wire: Wire, settles: Sequence[Settled]) -> bool:
        """Finds those that spoil the batch and sets them apart. False: none of several went, so it is not them."""
        failed: list[Settled] = []
        waiting = deque(settles)
        while waiting:
            try:
                await self._send(wire, [waiting[0]], [])
            except StatementFailed:
                failed.append(waiting[0])
            except ConnectionLost:
                self._queue.put_back([*failed, *waiting])
                await asyncio.sleep(_pause_s(self._failures))  # a bug may have ended it, and may do so again
                return True
            else:
                self._count_unsettled(-1)
            waiting.popleft()
        if len(failed) == len(settles) > 1:
            return False
        self._failures = 0
        for settle in failed:
            self._leave_alone(settle)
        return True

    def _leave_alone(self, settle: Settled) -> None:
        settle.alone = True
        settle.pause_s = min(max(settle.pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_ALONE_S)
        _log.error("settlement_refused_alone", request_id=settle.request_id, next_try_s=settle.pause_s)
        asyncio.get_running_loop().call_later(settle.pause_s, self._try_again, settle)

    def _try_again(self, settle: Settled) -> None:
        self._queue.add(settle)
        self._awake.set()

    # ---- when the connection is lost ----

    async def _reconnect(self) -> None:
        attempt = 0
        while True:
            try:
                async with asyncio.timeout(self._settings.statement_timeout_s + 2):
                    self._wire = await open_lane_wire(
                        self._address,
                        self._process_id,
                        statement_timeout_s=self._settings.statement_timeout_s,
                        on_lost=self._awake.set,
                    )
            except (psycopg.Error, OSError, TimeoutError) as error:
                attempt += 1
                if attempt == 1:
                    _log.warning("ledger_connection_lost", error=type(error).__name__, reason=_first_line(error))
                self._closed_because = "The budget ledger cannot be reached."
                self._queue.fail_asked(self._closed_because)
                await asyncio.sleep(_pause_s(attempt))
            else:
                if attempt:
                    _log.warning("ledger_connection_back", attempts=attempt)
                self._closed_because = None
                return


def _pause_s(attempt: int) -> float:
    return float(min(_FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 10), _LONGEST_PAUSE_S))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""
