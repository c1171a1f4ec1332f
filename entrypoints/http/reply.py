"""The way back to one client: headers built, never copied; bytes passed as they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from starlette.types import Send

from application.presented import NO_RATES, Rates, Reply
from domain.calls import Dialect
from domain.faults import Fault
from domain.refusals import Refusal
from entrypoints.http.problems import (
    Headers,
    anthropic_rate_headers,
    body_of,
    headers_of,
    id_headers,
    last_words,
    rate_headers,
    shape_of,
)

JSON = (b"content-type", b"application/json")
_STREAM_TYPE = {
    Dialect.NATIVE: (b"content-type", b"application/x-ndjson"),
    Dialect.OPENAI: (b"content-type", b"text/event-stream"),
    Dialect.RESPONSES: (b"content-type", b"text/event-stream"),
    Dialect.ANTHROPIC: (b"content-type", b"text/event-stream"),
}
_UNBUFFERED: Headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_CLOSE = (b"connection", b"close")


def _length(count: int) -> tuple[bytes, bytes]:
    return (b"content-length", b"%d" % count)


class HttpReply(Reply):
    """One answer over ASGI."""

    def __init__(self, send: Send, dialect: Dialect, request_id: str, *, is_last: Callable[[], bool]) -> None:
        self._send = send
        self._is_last = is_last
        self._dialect = dialect
        self._id = f"req_{request_id}"
        self._ids = id_headers(dialect, self._id)
        self.begun = False
        self.ending = False
        """Whether the last byte was handed over: from then on a disconnect is the ordinary end."""
        self.ended = False
        """Whether it was taken, too: the server then tells of the end."""
        self.status = 0
        self.bytes_out = 0
        self._promised = False
        """Whether more bytes of a known number are to come."""

    async def begin(self, rates: Rates, first: bytes, *, length: int | None = None) -> None:
        """200, headers, and the first bytes; with a length, often the only bytes."""
        kind = _STREAM_TYPE[self._dialect] if length is None else JSON
        headers = [kind, *self._ids, *self._rates(rates)]
        if length == len(first):
            await self._whole(200, headers, first)
            return
        self._promised = length is not None
        bounds = _UNBUFFERED if length is None else [_length(length)]
        await self._start(200, [*headers, *bounds])
        await self.send(first)

    async def send(self, raw: bytes) -> None:
        """More bytes."""
        self.bytes_out += len(raw)
        await self._send({"type": "http.response.body", "body": raw, "more_body": True})

    async def finish(self) -> None:
        """The proper end."""
        if not self.ending:
            await self._end_with(b"")

    async def break_off(self, fault: Fault) -> None:
        """An error in the stream, and its end. In an answer with a length there is no place for one: it stays short,
        and the server ends the connection.
        """
        if not self.ending and not self._promised:
            await self.send(last_words(fault, self._dialect, self._id))
            await self.finish()

    async def refuse(self, reason: Refusal | Fault, rates: Rates = NO_RATES, extra: Headers | None = None) -> None:
        """A status and a body instead of an answer."""
        headers = [JSON, *self._ids, *headers_of(reason), *self._rates(rates), *(extra or [])]
        await self._whole(shape_of(reason).status, headers, body_of(reason, self._dialect, self._id))

    async def look(self, body: bytes, *, status: int = 200) -> None:
        """An answer that is not a model's."""
        await self._whole(status, [JSON, *self._ids], body)

    def _rates(self, rates: Rates) -> Headers:
        if self._dialect is Dialect.ANTHROPIC:
            return anthropic_rate_headers(rates, datetime.now(UTC))
        return rate_headers(rates)

    async def _whole(self, status: int, headers: Headers, body: bytes) -> None:
        await self._start(status, [*headers, _length(len(body))])
        self.bytes_out += len(body)
        await self._end_with(body)

    async def _end_with(self, raw: bytes) -> None:
        self.ending = True
        await self._send({"type": "http.response.body", "body": raw, "more_body": False})
        self.ended = True

    async def _start(self, status: int, headers: Headers) -> None:
        self.begun = True
        self.status = status
        if self._is_last() and _CLOSE not in headers:
            headers = [*headers, _CLOSE]  # a stopping process serves nothing more on this connection
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
