"""One request and its answer, as the application sees them: ASGI's `scope`, `receive` and `send`."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Any, Protocol
from urllib.parse import unquote

from starlette.types import Message, Scope

from entrypoints.http1.answering import CHUNKED, CLOSE, CONTINUE, LAST_CHUNK, chunk, has_body, head_bytes
from entrypoints.http1.edge import Headers
from entrypoints.http1.heads import Head

MAX_UNREAD_BYTES = 64 * 1024
"""Of a body that the application has not taken yet; then no more is read from the client."""
_ASGI = {"version": "3.0", "spec_version": "2.1"}


class Line(Protocol):
    """The connection, as an exchange needs it."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Sends, or lets it wait."""

    @abstractmethod
    async def flushed(self) -> None:
        """Returns when there is room for more; a client that takes nothing is cut."""

    @abstractmethod
    def may_go_on(self, exchange: Exchange) -> bool:
        """Whether another request may come after this one, as things stand."""

    @abstractmethod
    def finished(self, exchange: Exchange) -> None:
        """Hears that an answer is whole."""


class Exchange:
    """A request that was read, on its way through the application."""

    def __init__(self, line: Line, head: Head) -> None:
        self.head = head
        self.complete = False
        """Whether the request's last byte has come."""
        self.begun = False
        """Whether the answer's first bytes were sent."""
        self.over = False
        """Whether there is nobody to answer any more: all was sent, or the client has gone."""
        self.closes = False
        """Whether the answer says that the connection ends with it."""
        self._line = line
        self._news = asyncio.Event()
        self._unread: list[bytes] = []
        self._unread_bytes = 0
        self._told_complete = False
        self._asks = head.expects_continue
        self._answer: tuple[int, Headers] | None = None
        self._chunked = False
        self._has_body = True

    # -- from the connection ------------------------------------------------------------------------------------

    def feed(self, body: bytes, *, complete: bool) -> None:
        """More of the body."""
        if body:
            self._unread.append(body)
            self._unread_bytes += len(body)
            self._asks = False  # it comes unasked
        self.complete = complete
        self._news.set()

    def leave(self) -> None:
        """Nobody waits for the answer any more, or all of it was sent."""
        self.over = True
        self._news.set()

    @property
    def full(self) -> bool:
        """Whether the application should take some of the body first."""
        return self._unread_bytes > MAX_UNREAD_BYTES and not self.over

    async def taken(self) -> None:
        """Returns when there is room for more of the body."""
        while self.full:
            self._news.clear()
            await self._news.wait()

    # -- from the application -----------------------------------------------------------------------------------

    def scope(self, client: tuple[str, int] | None, server: tuple[str, int] | None, state: dict[str, Any]) -> Scope:
        """What ASGI says of a request."""
        head = self.head
        path = head.raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "method": head.method,
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "root_path": "",
            "headers": head.headers,
            "client": client,
            "server": server,
            "state": state,
            "extensions": {},
        }

    async def receive(self) -> Message:
        """The body piece by piece; then, when the answer is whole or the client gone, the end."""
        while not self.over:
            if self._unread or (self.complete and not self._told_complete):
                return self._take()
            if self._asks:  # only now: who was refused before should not send
                self._asks = False
                self._line.write(CONTINUE)
            self._news.clear()
            await self._news.wait()
        return {"type": "http.disconnect"}

    def _take(self) -> Message:
        body = b"".join(self._unread)
        self._unread.clear()
        self._unread_bytes = 0
        self._told_complete = self.complete
        self._news.set()
        return {"type": "http.request", "body": body, "more_body": not self.complete}

    async def send(self, message: Message) -> None:
        """The answer. Its head goes out with the first bytes of its body, in one write.

        Raises:
            RuntimeError: the messages come in an order that ASGI does not allow.
            ValueError: a header has a line break in it.
        """
        if self.over:
            await asyncio.sleep(0)  # there is nobody; who writes without end must not keep the loop
            return
        if message["type"] == "http.response.start" and self._answer is None:
            self._answer = (message["status"], list(message.get("headers", ())))
            return
        if message["type"] != "http.response.body" or self._answer is None:
            raise RuntimeError(f"{message['type']} does not come now.")
        more = message.get("more_body", False)
        self._line.write(self._framed(message.get("body", b""), *self._answer, more=more))
        await self._line.flushed()
        if not more and not self.over:
            self.leave()
            self._line.finished(self)

    def _framed(self, body: bytes, status: int, headers: Headers, *, more: bool) -> bytes:
        head = b""
        if not self.begun:
            head = self._head(status, headers)
            self.begun = True
        if not self._has_body:
            return head
        if not self._chunked:
            return head + body if head else body
        return b"%b%b%b" % (head, chunk(body), b"" if more else LAST_CHUNK)

    def _head(self, status: int, headers: Headers) -> bytes:
        names = {name for name, _ in headers}
        self._has_body = has_body(self.head.method, status)
        unbounded = self._has_body and b"content-length" not in names
        self._chunked = unbounded and self.head.version == "1.1"
        said = CLOSE in headers
        self.closes = said or (unbounded and not self._chunked) or not self._line.may_go_on(self)
        extra = [CHUNKED] if self._chunked else []
        if self.closes and not said:
            extra.append(CLOSE)
        return head_bytes(status, [*headers, *extra])
