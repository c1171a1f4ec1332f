"""Hypercorn's own HTTP/1 class, kept from what it does too willingly.

It is h11 that reads here, and h11 forgives some of what `reading` does not: bare line feeds, folded lines, equal
Content-Lengths; and it says `100 Continue` unasked. What is left of a head is examined by the same rules, no upgrade is
ever taken, a hang-up is seen though bytes of a next request have come, and an answer that comes before the whole
request says that it is the last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import h11
from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, ConnectionState, WorkerContext

from domain.refusals import Refusal
from entrypoints.http1.edge import Edge, Peer
from entrypoints.http1.heads import (
    MAX_HEAD_BYTES,
    Head,
    bad_framing,
    examine,
    head_too_large,
    head_too_slow,
    malformed,
)
from entrypoints.http1.reading import MAX_PIPELINED_BYTES
from entrypoints.http1.timer import Timer

_Sendable = h11.InformationalResponse | h11.Response | h11.Data | h11.EndOfMessage
_OF_STATUS = {
    431: head_too_large(),
    501: bad_framing("the one Transfer-Encoding that is taken is chunked"),
}
"""What h11 means by its hints; anything else is bad grammar."""


class _NotNow(Exception):
    """A request is being served; the next one waits."""


class _Turn:
    """In the place of the event on which Hypercorn's class waits for its turn to read, blind to hang-ups."""

    async def clear(self) -> None:
        pass

    async def set(self) -> None:
        pass

    def is_set(self) -> bool:
        return True

    async def wait(self) -> None:
        raise _NotNow


class StockConnection(H11Protocol):
    """Stands where `Http1Connection` does."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        tasks: TaskGroup,
        send: Callable[[Event], Awaitable[None]],
        *,
        client: Peer,
        server: Peer,
        state: ConnectionState,
        edge: Edge,
        linger: Callable[[], None],
    ) -> None:
        super().__init__(app, config, context, tasks, state, ssl=False, client=client, server=server, send=self._tell)
        self.can_read = _Turn()
        self._tell_server = send
        self._tasks = tasks
        self._edge = edge
        self._linger = linger
        self._head: Head | None = None
        self._asked: h11.Request | None = None
        """The request whose head was read last, whatever is thought of it."""
        self._over = False
        """Whether all was said; what still comes is dropped."""
        self._timer = Timer(asyncio.get_running_loop())

    async def handle(self, event: Event) -> None:
        """Bytes came, or the end."""
        if isinstance(event, Closed):
            self._timer.cancel()
        elif isinstance(event, RawData):
            if self._over:
                return
            if self.stream is None and event.data.strip(b"\r\n") and not self._timer.runs_for(self._head_is_late):
                self._timer.within(self._edge.head_s, self._head_is_late)
        await self._guarded(super().handle(event))

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except _NotNow:
            if len(self.connection.trailing_data[0]) > MAX_PIPELINED_BYTES:
                self._over = True
        except Refusal as refusal:
            await self._refuse(refusal)
            await self.send(Closed())

    async def _tell(self, event: Event) -> None:
        """To the server. An end waits a while if the client may still be sending."""
        if isinstance(event, Closed):
            self._over = True
            self._timer.cancel()
            if self.connection.their_state not in {h11.DONE, h11.MUST_CLOSE} or self.connection.trailing_data[0]:
                self._linger()
                return
        await self._tell_server(event)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Instead of looking for upgrades."""
        self._timer.stop()
        self._head, self._asked = None, event
        headers = event.headers.raw_items()
        if len(event.target) + sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
            raise head_too_large()  # which h11 sees only when it comes in pieces
        self._head = examine(event.method, event.target, event.http_version.decode(), headers)

    async def _create_stream(self, request: h11.Request) -> None:
        head = self._head
        if head is not None and not request.target.startswith(b"/"):  # the absolute form
            target = head.raw_path + (b"?" + head.query if head.query else b"")
            request = h11.Request(
                method=request.method, target=target, headers=head.headers, http_version=request.http_version
            )
        await super()._create_stream(request)

    async def _send_h11_event(self, event: _Sendable) -> None:
        if isinstance(event, h11.Response) and self.connection.their_state is h11.SEND_BODY:
            headers = event.headers.raw_items()
            if all(name.lower() != b"connection" for name, _ in headers):
                closing = [*headers, (b"connection", b"close")]
                event = h11.Response(status_code=event.status_code, headers=closing)
        await super()._send_h11_event(event)

    async def _maybe_recycle(self) -> None:
        if self._over and self.stream is not None:  # too much was sent meanwhile
            await self._close_stream()
            self._linger()
            return
        await super()._maybe_recycle()
        if not self._over and self.connection.trailing_data[0]:
            await self._guarded(self._handle_events())

    async def _send_error_response(self, status_code: int) -> None:
        await self._refuse(_OF_STATUS.get(status_code) or malformed("its head, or its body, breaks the grammar"))

    async def _refuse(self, refusal: Refusal) -> None:
        target = self._asked.target if self._asked is not None else b""
        answer = self._edge.refuse(refusal, target, self.client[0] if self.client else "")
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            said = [(b"content-length", b"%d" % len(answer.body)), (b"connection", b"close")]
            headers = [*answer.headers, *said, *self.config.response_headers("h11")]
            await self._send_h11_event(h11.Response(status_code=answer.status, headers=headers))
            if self._asked is None or self._asked.method != b"HEAD":
                await self._send_h11_event(h11.Data(data=answer.body))
            await self._send_h11_event(h11.EndOfMessage())
        await self._close_stream()

    def _head_is_late(self) -> None:
        self._tasks.spawn(self._guarded, self._raise(head_too_slow(self._edge.head_s)))

    @staticmethod
    async def _raise(refusal: Refusal) -> None:
        raise refusal
