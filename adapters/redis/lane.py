r"""The lane: one connection for the whole gateway process, first in, first out.

Requests never touch the socket. They hand in a command and await a future; whatever was handed in during one turn of
the event loop is written at once, and the server's replies are given out in the order of the commands::

    ask --+                                 +-- write: one write a turn --> server
          +--> under way (FIFO) --> outbox -+                                 |
    tell -+         ^                                                         |
                    +---- read: the oldest gets the reply <-------------------+

What it keeps:

- An answer comes within the budget, or the question fails. It is never asked again: it may have been answered.
- A late reply is still taken off the front of the queue and thrown away, so no reply reaches another's question. When
  the oldest stays unanswered for long, the connection is given up, and all under way fail.
- While there is no connection, questions fail at once. What was *told* (the end of a call) may be kept and sent later,
  and so may what a server refuses that cannot write now.
- `NOSCRIPT` says that nothing ran: the scripts are loaded and that command goes once more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

import attrs
import structlog
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError

from adapters.redis.scripts import Scripts
from adapters.redis.under_way import LaneCounts, UnderWay, will_pass
from adapters.redis.wire import Reply, Wire, check_url
from adapters.redis.words import packed
from domain.faults import FaultCode, StoreUnavailable

_log = structlog.get_logger("neuronetz")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.25
_OPENING_S = 1.0  # with the pause: how long after its return a server that did not answer may stay unused
_TELL_AGAIN_S = 1.0
_GIVE_UP_AFTER_S = 1.0
_LAG_S = 0.02
_REPLIES_A_TURN = 64


class Lane:
    """The one connection. Open it with `start`, end it with `aclose`; both in the loop that uses it."""

    def __init__(self, url: str, scripts: Scripts, *, budget_s: float = 0.1, keep_at_most: int = 10_000) -> None:
        """Opens nothing.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            scripts: made known to every server it connects to.
            budget_s: how long an answer may take.
            keep_at_most: what was told and is kept while there is no connection; beyond, the oldest is dropped.

        Raises:
            ValueError: the URL is none of ours.
        """
        check_url(url)
        self.counts = LaneCounts()
        self._url = url
        self._scripts = scripts
        self._budget_s = budget_s
        self._wire: Wire | None = None
        self._trouble: Exception | None = None
        self._under_way: deque[UnderWay] = deque()
        self._outbox: list[bytes] = []
        self._kept: deque[bytes] = deque(maxlen=keep_at_most)
        self._loading = False
        self._wake = asyncio.Event()
        self._tried = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._owner: asyncio.Task[None] | None = None
        self._sweep_at: asyncio.TimerHandle | None = None
        self._sweep_due_s = 0.0
        self._tell_kept_at: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Returns after the first attempt, good or bad; from then on it keeps itself connected."""
        self._owner = asyncio.create_task(self._stay_connected(), name="store lane")
        self._owner.add_done_callback(lambda _: self._tried.set())
        await self._tried.wait()

    async def aclose(self, timeout_s: float = 1.0) -> None:
        """Waits until all that was handed in is answered, within the budget and at most so long; then hangs up."""
        if self._wire is not None:
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                await asyncio.wait_for(self.ask(packed("PING")), timeout_s)  # first in, first out: it comes last
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.wait({self._owner})
        for timer in (self._sweep_at, self._tell_kept_at):
            if timer is not None:
                timer.cancel()

    @property
    def run_id(self) -> str:
        """Of the server it is connected to.

        Raises:
            StoreUnavailable: to none.
        """
        if self._wire is None:
            raise self._unavailable("The rate limiter cannot be reached.", self._trouble)
        return self._wire.run_id

    def ask(self, command: bytes) -> asyncio.Future[Reply]:
        """Sends a command; the future is the reply, or fails with `StoreUnavailable`.

        Raises:
            StoreUnavailable: there is no connection.
        """
        if self._wire is None:
            raise self._unavailable("The rate limiter cannot be reached.", self._trouble)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Reply] = loop.create_future()
        self._put(UnderWay(command, loop.time() + self._budget_s, answer))
        return answer

    def tell(self, command: bytes, *, keep: bool) -> None:
        """Sends a command whose reply nobody awaits. One to `keep` must be harmless when it runs twice."""
        if self._wire is not None:
            due_s = asyncio.get_running_loop().time() + self._budget_s
            self._put(UnderWay(command, due_s, None, kept=keep))
        elif keep:
            self._keep(command)
        else:
            self.counts.dropped += 1

    # ---- handing in ----

    def _put(self, sent: UnderWay) -> None:
        self._under_way.append(sent)
        self._outbox.append(sent.command)
        self._wake.set()
        if self._sweep_at is None or sent.due_s < self._sweep_due_s:  # it may be waiting to give up the connection
            self._arm(sent.due_s)

    def _keep(self, command: bytes) -> None:
        if len(self._kept) == self._kept.maxlen:
            self.counts.dropped += 1
        self._kept.append(command)

    def _tell_kept(self) -> None:
        self._tell_kept_at = None
        if self._wire is not None:
            kept = list(self._kept)
            self._kept.clear()
            for command in kept:
                self.tell(command, keep=True)

    # ---- the connection ----

    async def _stay_connected(self) -> None:
        """Outlives its own bugs: without an owner there would be no connection any more, and nobody would know why."""
        pause_s = 0.0
        while True:
            try:
                await asyncio.sleep(pause_s)
                pause_s = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
                wire = await Wire.open(self._url, self._scripts, timeout_s=_OPENING_S)
                await self._serve(wire)
                pause_s = _FIRST_PAUSE_S
            except (OSError, RedisError) as trouble:  # TimeoutError is an OSError
                self._trouble = trouble
            except Exception as bug:  # noqa: BLE001  as above; the log tells
                self._trouble = bug
                _log.exception("store_lane_failed")
            self._tried.set()

    async def _serve(self, wire: Wire) -> None:
        """Until the connection ends, for whatever reason."""
        self._connected(wire)
        self._reader = asyncio.create_task(self._read(wire), name="store lane reader")
        writer = asyncio.create_task(self._write(wire), name="store lane writer")
        both = {self._reader, writer}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            self.counts.broken += 1
        finally:
            ended = [task for task in both if task.done() and not task.cancelled()]
            troubles = [end for task in ended if isinstance(end := task.exception(), Exception)]
            for task in both:
                task.cancel()
            self._disconnected(troubles[0] if troubles else None)  # whatever it was: uvloop says RuntimeError
            await asyncio.gather(*both, return_exceptions=True)
            await wire.close()

    def _connected(self, wire: Wire) -> None:
        self._wire, self._trouble = wire, None
        if self._tell_kept_at is None:
            self._tell_kept()
        self._tried.set()

    def _disconnected(self, trouble: Exception | None) -> None:
        self._wire, self._trouble, self._reader, self._loading = None, trouble, None, False
        self._outbox.clear()
        gone, self._under_way = self._under_way, deque()
        for sent in gone:
            if sent.kept:
                self._keep(sent.command)
            elif sent.answer is not None and not sent.answer.done():
                self.counts.lost += 1
                sent.answer.set_exception(self._unavailable("The rate limiter's connection was lost.", trouble))

    async def _write(self, wire: Wire) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            batch, self._outbox = self._outbox, []
            if batch:
                await wire.write(batch)

    async def _read(self, wire: Wire) -> None:
        while True:
            for _ in range(_REPLIES_A_TURN):
                reply = await wire.read()
                if not self._under_way:
                    raise RedisError("the server said something that nobody asked")
                self._give(self._under_way.popleft(), reply)
            await asyncio.sleep(0)  # replies that are there already are read without a pause

    def _give(self, sent: UnderWay, reply: Reply) -> None:
        if sent.ends_loading:
            self._loading = False
        if isinstance(reply, ResponseError):
            self._give_error(sent, reply)
        elif sent.answer is not None and not sent.answer.done():
            sent.answer.set_result(reply)

    def _give_error(self, sent: UnderWay, error: ResponseError) -> None:
        if isinstance(error, NoScriptError) and not sent.again:
            self._load_and_send_again(sent)
            return
        self.counts.refused += 1
        if sent.kept and will_pass(error):
            self._keep(sent.command)
            if self._tell_kept_at is None:
                self._tell_kept_at = asyncio.get_running_loop().call_later(_TELL_AGAIN_S, self._tell_kept)
        if sent.answer is not None and not sent.answer.done():
            sent.answer.set_exception(self._unavailable("The rate limiter cannot answer.", error))
        if isinstance(error, ReadOnlyError):  # it was made a replica; its name may lead to the new primary
            raise error

    def _load_and_send_again(self, sent: UnderWay) -> None:
        if sent.answer is not None and sent.answer.done():
            return
        if not self._loading:
            self._loading = True
            *first, last = self._scripts.loading
            for command in first:
                self._put(UnderWay(command, sent.due_s, None))
            self._put(UnderWay(last, sent.due_s, None, ends_loading=True))
        self._put(attrs.evolve(sent, again=True))

    # ---- lateness: one timer for all ----

    def _arm(self, at_s: float, *, patient: bool = True) -> None:
        if self._sweep_at is not None:
            self._sweep_at.cancel()
        self._sweep_due_s = at_s
        self._sweep_at = asyncio.get_running_loop().call_at(at_s, self._sweep, at_s, patient)

    def _sweep(self, meant_s: float, patient: bool) -> None:  # noqa: FBT001 - call_at passes by position
        self._sweep_at = None
        now_s = asyncio.get_running_loop().time()
        if patient and now_s - meant_s > _LAG_S:  # this very loop was held up: read what lies in the socket first
            self._arm(now_s + _LAG_S / 2, patient=False)
            return
        if not self._under_way:
            return
        if now_s - self._under_way[0].due_s > _GIVE_UP_AFTER_S and self._reader is not None:
            self._reader.cancel()
            return
        next_s = self._under_way[0].due_s + 1.01 * _GIVE_UP_AFTER_S
        for sent in self._under_way:
            if sent.answer is None or sent.answer.done():
                continue
            if sent.due_s <= now_s:
                self.counts.late += 1
                sent.answer.set_exception(self._unavailable("The rate limiter did not answer in time.", None))
            else:
                next_s = min(next_s, sent.due_s)
        self._arm(max(next_s, now_s + 0.001))

    @staticmethod
    def _unavailable(sentence: str, cause: Exception | None) -> StoreUnavailable:
        fault = StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, sentence)
        fault.__cause__ = cause
        return fault
