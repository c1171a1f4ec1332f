"""How a connection to Ollama ends before its answer does.

A hang-up can cost Ollama a runner slot for ever: its handler sends each chunk into a channel that nobody reads once
the client is gone (ollama issue #17131; `server/routes.go`, open in v0.33). A reset does so in one case of some
tens; a FIN after which everything is read to its end did not in hundreds. But `close()` on a socket with unread
bytes *is* a reset, and so is one after which bytes still come, so an HTTP client's ordinary clean-up does the wrong
thing whenever it drops an unfinished answer.

aiohttp drops a connection in many places (cancelled before the head, `response.close()`, a closed session) and all
of them end in `ResponseHandler.close()`. So that is where the half-close is: FIN now, then read and throw away until
the other side ends too, for a bounded time::

    in use --close()--> FIN sent, reading --their end, or time is up--> closed

One that is dropped after a silence may lie on a line that died half: kept ones that were heard last before that silence
are not used again (`Doubt`).

Through TLS nothing can be half-closed: there a FIN would break the record layer before what the backend still
writes. The connection is closed after what has come by then was read.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
from aiohttp import ClientPayloadError, abc
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

LINGER_S = 1.5
LINGER_TLS_S = 0.05
SILENT_S = 1.0
"""A connection that is given up after so long without a byte casts doubt on the kept ones."""
MOST_LINGER_BYTES = 32 * 1024 * 1024
"""A backend that keeps pouring after our FIN is cut off here."""
MOST_BARREN_BYTES = 256 * 1024
"""Framing without content in a row; Ollama's longest is a head of 200 bytes."""
_FINAL = 200
_SWITCHING = 101


class Farewell(asyncio.Protocol):
    """Reads a half-closed connection to its end. Counts itself among `lingering` while it does."""

    def __init__(
        self,
        lingering: set[Farewell],
        on_lost: Callable[[BaseException | None], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._lingering = lingering
        self._loop = loop
        self.parted: asyncio.Future[None] = loop.create_future()
        """Done when the connection is gone."""
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._read_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.Transport) -> None:
        """Takes the connection over from whoever used it."""
        self._transport = transport
        self._lingering.add(self)
        transport.set_protocol(self)
        transport.resume_reading()
        half_closes = transport.can_write_eof()
        if half_closes:
            transport.write_eof()
        self._deadline = self._loop.call_later(LINGER_S if half_closes else LINGER_TLS_S, self.cut)

    def cut(self) -> None:
        """Time is up."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # the backend does not read: close() would wait for it for ever
        else:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Throws away what comes."""
        self._read_bytes += len(data)
        if self._read_bytes > MOST_LINGER_BYTES:
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The end. aiohttp learns of it as well: closing a session waits for that."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._transport = None
        self._lingering.discard(self)
        if not self.parted.done():
            self.parted.set_result(None)
        self._on_lost(exc)


class Doubt:
    """What one silent connection says of a backend's others."""

    def __init__(self) -> None:
        self.since_s = -math.inf
        """Kept connections that were heard last before this are not to be used (the loop's clock)."""


class HalfClosing(ResponseHandler):
    """aiohttp's connection, which says farewell instead of hanging up, and bounds framing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lingering: set[Farewell], doubt: Doubt) -> None:
        super().__init__(loop)
        self._lingering = lingering
        self._doubt = doubt
        self._quiet_since_s = loop.time()
        """When a byte last came, or the request went."""
        self._fed_bytes = 0
        self._barren_bytes = 0
        self._answered = True

    @property
    def is_full(self) -> bool:
        """Whether the answer's buffer is full, so that the backend is not read."""
        return self._reading_paused

    def close(self) -> None:
        """Ends the connection; returns at once."""
        transport = self.transport
        if transport is None or transport.is_closing():
            super().close()
            return
        if not self._is_idle and not self.is_full and self._loop.time() - self._quiet_since_s >= SILENT_S:
            self._doubt.since_s = max(self._doubt.since_s, self._quiet_since_s)
        self._exception = None
        self._payload = None
        self._drop_timeout()
        self.transport = None
        Farewell(self._lingering, self.connection_lost, self._loop).begin(transport)

    def is_connected(self) -> bool:
        """Whether it may be used. The pool asks this of those that it keeps."""
        return super().is_connected() and not (self._is_idle and self._quiet_since_s < self._doubt.since_s)

    def set_response_params(self, **settings: Any) -> None:
        """A request begins: aiohttp says how its answer is to be read."""
        self._fed_bytes = self._barren_bytes = 0
        self._answered = False
        self._quiet_since_s = self._loop.time()
        super().set_response_params(**settings)

    def feed_data(self, data: tuple[Any, Any], size: int = 0) -> None:
        """A head that was read: interim ones, then the answer's. One more is nobody's: kept, it would be the answer to
        whoever uses the connection next.
        """
        if self._answered:
            self.force_close()
            return
        self._answered = data[0].code >= _FINAL or data[0].code == _SWITCHING
        super().feed_data(data, size)

    @property
    def _is_idle(self) -> bool:
        """Whether nothing is to come: no request is under way, or its answer is whole."""
        return self._answered and (self._payload is None or self._payload.is_eof())

    def data_received(self, data: bytes) -> None:
        """Bytes from the backend. Those that add nothing to an answer's body are bounded: heads, interim heads, chunk
        extensions and trailers without end reach no reader who could stop them. Those that nobody asked for end the
        connection. No bytes at all are aiohttp's own way to go on reading.
        """
        if data and self._is_idle:
            self.close()
            return
        if data:
            self._quiet_since_s = self._loop.time()
        super().data_received(data)
        payload = self._payload
        broken = self.exception()
        if broken is not None:
            # aiohttp's parser (3.14) forgets the body that it was in: its reader would wait until a deadline
            _end_with(ClientPayloadError(f"the backend breaks its framing: {broken}"), payload)
            return
        fed_bytes = 0 if payload is None else payload.total_bytes
        if fed_bytes != self._fed_bytes:
            self._fed_bytes = fed_bytes
            self._barren_bytes = 0
            return
        self._barren_bytes += len(data)
        if self._barren_bytes > MOST_BARREN_BYTES and self.transport is not None:
            self.close()
            fault = ClientPayloadError("the backend sends framing without end")
            self.set_exception(fault)
            _end_with(fault, payload)


def _end_with(fault: ClientPayloadError, payload: StreamReader | None) -> None:
    """Tells whoever reads the body."""
    if payload is not None and payload is not EMPTY_PAYLOAD and not payload.is_eof():
        payload.set_exception(fault)


class HalfClosingConnector(aiohttp.TCPConnector):
    """Connections that end with a half-close. Unlimited: the number of calls is bounded by our own slots."""

    def __init__(self, *, resolver: abc.AbstractResolver) -> None:
        super().__init__(resolver=resolver, limit=0)
        self.lingering: set[Farewell] = set()
        self._doubt = Doubt()
        self._factory = partial(self._connection)  # aiohttp has no public name for it; a test watches the wire

    def _connection(self) -> ResponseHandler:
        return HalfClosing(self._loop, self.lingering, self._doubt)

    async def until_parted(self) -> None:
        """Waits, bounded, until no half-closed connection is left."""
        if self.lingering:
            await asyncio.wait({farewell.parted for farewell in self.lingering}, timeout=LINGER_S + 0.5)
