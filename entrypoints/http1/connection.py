"""One connection: its requests one after another, its times, and its end.

    idle -> a head comes -> served, the body coming -> answered -> idle, or lingering -> closed

Hypercorn's server reads the socket and hands over what came, as to its own HTTP/1 class. Reading goes on while a
request is served, whatever a client sends too early, so that a hang-up is always seen: a little of it waits for its
turn, what is more is dropped and the connection ends after the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.events import Closed, Event, RawData
from hypercorn.typing import WorkerContext
from starlette.types import ASGIApp

from domain.faults import Fault, FaultCode
from domain.refusals import Refusal
from entrypoints.http1.answering import whole
from entrypoints.http1.edge import Edge, Peer
from entrypoints.http1.exchange import Exchange, Line
from entrypoints.http1.flushing import flushed
from entrypoints.http1.heads import Head, head_too_slow
from entrypoints.http1.reading import RequestReader
from entrypoints.http1.timer import Timer

HIGH_WATER_BYTES = 64 * 1024
"""Of an answer that may wait to be sent."""
_log = structlog.get_logger("neuronetz")


class Http1Connection(Line):
    """Stands in the place of Hypercorn's protocol: `initiate`, and `handle` for what came."""

    def __init__(
        self,
        app: ASGIApp,
        edge: Edge,
        context: WorkerContext,
        tasks: TaskGroup,
        writer: asyncio.StreamWriter,
        *,
        client: Peer,
        server: Peer,
        state: dict[str, Any],
    ) -> None:
        self._app = app
        self._edge = edge
        self._context = context
        self._tasks = tasks
        self._writer = writer
        self._transport = writer.transport
        self._client, self._server, self._state = client, server, state
        self._reader = RequestReader()
        self._exchange: Exchange | None = None
        self._requests = 0
        self._linger_bytes: int | None = None
        """Left of what is dropped while it lingers; None before that."""
        self._closed = False
        """Whether it was closed by us: what still comes, and be it the end, begins nothing."""
        self._timer = Timer(asyncio.get_running_loop())

    # -- from Hypercorn's server --------------------------------------------------------------------------------

    async def initiate(self) -> None:
        """The connection is open."""
        self._be_idle()

    async def handle(self, event: Event) -> None:
        """Bytes came, or the end."""
        if isinstance(event, RawData):
            self._received(event.data)
            if self._exchange is not None and self._exchange.full:
                await self._exchange.taken()
        elif isinstance(event, Closed):
            self._timer.cancel()
            self._reader.close()
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.leave()

    def close_if_idle(self) -> None:
        """Ends the connection if no request is being served on it."""
        if self._exchange is None and self._linger_bytes is None and not self._closed:
            self._close()

    # -- requests -----------------------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        if self._closed:
            return
        if self._linger_bytes is not None:
            self._linger_bytes -= len(data)
            if self._linger_bytes < 0:
                self._transport.abort()
            return
        self._reader.receive(data)
        self._go_on()

    def _go_on(self) -> None:
        """With what has come."""
        try:
            if self._exchange is None:
                head = self._reader.head()
                if head is None:
                    self._await_head()
                    return
                self._begin(head)
            if self._exchange is not None and not self._exchange.complete:
                self._exchange.feed(self._reader.body(), complete=self._reader.complete)
        except Refusal as refusal:
            self._refuse(refusal)

    def _begin(self, head: Head) -> None:
        self._timer.stop()
        self._requests += 1
        self._exchange = Exchange(self, head)
        self._tasks.spawn(self._serve, self._exchange)

    async def _serve(self, exchange: Exchange) -> None:
        try:
            await self._app(
                exchange.scope(self._client, self._server, self._state.copy()), exchange.receive, exchange.send
            )
        except Exception:  # noqa: BLE001  a bug of the application's is logged, and answered below
            _log.exception("request_failed")
        finally:
            if not exchange.over:
                self._left_unanswered(exchange)

    def _left_unanswered(self, exchange: Exchange) -> None:
        """The application has ended, or was cancelled, and its answer has no end."""
        if exchange.begun:
            exchange.leave()
            self._transport.abort()  # so that the client cannot take what it has for the whole
        else:
            self._refuse(Fault(FaultCode.INTERNAL, "The gateway failed to serve this request."))

    def _refuse(self, reason: Refusal | Fault) -> None:
        """Answers what is no request, and ends the connection after it."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.leave()
        if exchange is None or not exchange.begun:
            answer = self._edge.refuse(reason, self._reader.target, self._client[0] if self._client else "")
            self.write(whole(answer, exchange.head.method if exchange is not None else "GET"))
        self._linger()

    # -- answers: what an exchange asks of its line -------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Sends, or lets it wait. uvloop raises where asyncio drops what is written to a connection that has ended."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def flushed(self) -> None:
        """Returns when there is room for more, or nobody to send to."""
        if self._transport.get_write_buffer_size() > HIGH_WATER_BYTES or self._transport.is_closing():
            await flushed(self._writer, self._edge.send_s)

    def may_go_on(self, exchange: Exchange) -> bool:
        """Whether another request may come after this one, as things stand."""
        return (
            exchange.complete
            and exchange.head.keeps_alive
            and not self._reader.dropped
            and self._requests < self._edge.max_requests
            and not self._context.terminated.is_set()
        )

    def finished(self, exchange: Exchange) -> None:
        """An answer is whole: to the next request, or to the end."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        if exchange.closes or not self.may_go_on(exchange):
            if exchange.complete and not self._reader.begun and not self._reader.dropped:
                self._close()
            else:
                self._linger()
            return
        self._reader.next()
        self._be_idle()
        if self._reader.begun:
            self._go_on()

    # -- times and ends -----------------------------------------------------------------------------------------

    def _be_idle(self) -> None:
        self._timer.within(self._edge.idle_s, self._close)

    def _await_head(self) -> None:
        if self._reader.begun and not self._timer.runs_for(self._head_is_late):
            self._timer.within(self._edge.head_s, self._head_is_late)

    def _head_is_late(self) -> None:
        self._refuse(head_too_slow(self._edge.head_s))

    def _close(self) -> None:
        """Closes when all that was sent is taken, or when it is not in time."""
        self._closed = True
        self._timer.within(self._edge.send_s, self._transport.abort)
        self._transport.close()

    def _linger(self) -> None:
        """Says that it is over and waits for the client to see it, dropping what still comes."""
        self._linger_bytes = self._edge.linger_bytes
        self._timer.within(self._edge.linger_s, self._transport.abort)
        if not self._transport.is_closing():
            with contextlib.suppress(OSError):  # the client has gone, and we are told in a moment
                self._transport.write_eof()
