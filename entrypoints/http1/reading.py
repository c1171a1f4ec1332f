"""A connection's bytes, cut into requests: bytes in, heads and bodies out, no I/O.

The grammar is llhttp's, through httptools, with none of its leniencies switched on. What it lets pass all the same is
refused here and in `heads`: two blanks in the request line, RTSP, HTTP/0.9, several leading empty lines.

llhttp reads on into the next request, and on an upgrade takes the body for another protocol. So it is never given a
byte past a request: a head and a chunked body can both only end with an empty line, and it is fed up to each. A head
and a body have a parser each, so that nothing a head says reaches how its body is read.
"""

from __future__ import annotations

import httptools

from domain.refusals import Code, Refusal
from entrypoints.http1.heads import (
    MAX_HEAD_BYTES,
    Head,
    bad_framing,
    examine,
    head_too_large,
    malformed,
    target_too_long,
)

MAX_PIPELINED_BYTES = 64 * 1024
"""Of further requests that are kept while one is served. What comes after is dropped, and not the sight of the end."""
_EMPTY_LINE = b"\r\n\r\n"
_MAY_STRADDLE = len(_EMPTY_LINE) - 1
_MOST_AT_ONCE = 8 * 1024
"""Of a chunked body; how finely its overhead is watched."""
_MAX_EXCESS_BYTES = 16 * 1024
_CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class RequestReader:
    """Reads the requests of one connection, one after another."""

    def __init__(self) -> None:
        self._buffer = b""
        self._head = _HeadParser()
        self._chunked: _ChunkedParser | None = None
        self._left = 0
        self._in_body = False
        self.complete = False
        """Whether the request was read to its end. Nothing more is read before `next`."""
        self.dropped = False
        """Whether bytes had to be dropped, so that no further request can be read."""

    @property
    def target(self) -> bytes:
        """Of the request that is being read, as far as it is known."""
        return self._head.target

    @property
    def begun(self) -> bool:
        """Whether a request has begun whose head is not read yet. A line break after a body is not yet one: some old
        clients send it.
        """
        head = b"" if self._in_body else self._head.raw
        return bool(head.strip(b"\r\n") or self._buffer.strip(b"\r\n"))

    def receive(self, data: bytes) -> None:
        """More bytes of the connection."""
        if self.dropped:
            return
        self._buffer = self._buffer + data if self._buffer else data
        if self.complete and len(self._buffer) > MAX_PIPELINED_BYTES:
            self._buffer = b""
            self.dropped = True

    def next(self) -> None:
        """Turns to the next request."""
        self.close()
        self._head = _HeadParser()
        self._chunked = None
        self._in_body = self.complete = False

    def close(self) -> None:
        """Lets go of the parsers. Each is in a circle with httptools' own, which would await the garbage collector."""
        self._head.close()
        if self._chunked is not None:
            self._chunked.close()

    def head(self) -> Head | None:
        """The head, when it has come.

        Raises:
            Refusal: it is none, or could be understood in several ways.
        """
        data, self._buffer = self._buffer, b""
        at = 0
        while at < len(data) and not self._head.complete:
            end = _end_of_line_after(self._head.raw, data, at)
            at += self._head.feed(data[at:end])
        self._buffer = data[at:]
        if not self._head.complete:
            return None
        head = self._head.examined()
        self._in_body = True
        self._left = head.length
        self._chunked = _ChunkedParser() if head.chunked else None
        self.complete = not head.chunked and head.length == 0
        return head

    def body(self) -> bytes:
        """What has come of the body since; sets `complete`.

        Raises:
            Refusal: it is not properly chunked.
        """
        if self.complete or not self._in_body:
            return b""
        if self._chunked is not None:
            return self._chunks(self._chunked)
        taken, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
        self._left -= len(taken)
        self.complete = self._left == 0
        return taken

    def _chunks(self, parser: _ChunkedParser) -> bytes:
        data, self._buffer = self._buffer, b""
        at = 0
        while at < len(data) and not parser.complete:
            end = min(_end_of_line_after(parser.tail, data, at), at + _MOST_AT_ONCE)
            parser.feed(data[at:end])
            at = end
        self.complete = parser.complete
        self._buffer = data[at:]
        return parser.take()


def _end_of_line_after(before: bytes, data: bytes, at: int) -> int:
    """Where the next empty line of `data` ends, that may have begun at the end of `before`; its length if none does."""
    if at == 0 and before:
        tail = before[-_MAY_STRADDLE:]
        found = (tail + data[:_MAY_STRADDLE]).find(_EMPTY_LINE)
        if found >= 0:
            return found + len(_EMPTY_LINE) - len(tail)
    found = data.find(_EMPTY_LINE, max(0, at - _MAY_STRADDLE))
    return len(data) if found < 0 else found + len(_EMPTY_LINE)


class _HeadParser:
    """One head. httptools calls the `on_` methods."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self.raw = b""
        self.target = b""
        self.complete = False

    def close(self) -> None:
        """Reads no more."""
        del self._parser

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete = True

    def feed(self, data: bytes) -> int:
        """Reads on; returns how many bytes of it."""
        data = data[: MAX_HEAD_BYTES - len(self.raw)]
        self.raw += data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # passed over; there is a Content-Length or a parser of its own for the body
        except httptools.HttpParserError as error:
            raise self._refusal(str(error)) from None
        if not self.complete and len(self.raw) >= MAX_HEAD_BYTES:
            raise head_too_large() if b"\r\n" in self.raw.lstrip(b"\r\n") else target_too_long()
        return len(data)

    def examined(self) -> Head:
        """The head, which is complete."""
        method, version = self._parser.get_method(), self._parser.get_http_version()
        head = examine(method, self.target, version, self._headers)
        line = b"%b %b HTTP/%b\r\n" % (method, self.target, version.encode("ascii"))
        if not self.raw.removeprefix(b"\r\n").startswith(line):  # one empty line may come before it (RFC 9112 2.2)
            raise malformed("its first line is not `METHOD /path HTTP/1.1`")
        return head

    def _refusal(self, why: str) -> Refusal:
        # llhttp names the place in words of its own, never in the client's.
        if self._parser.get_http_version() not in {"0.0", "1.0", "1.1"}:
            return Refusal(Code.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if "Content-Length" in why or "Transfer-Encoding" in why:
            return bad_framing(why)
        return malformed(why)


class _ChunkedParser:
    """One chunked body. Extensions and trailers are dropped, and bounded in all (as Go's net/http, CVE-2023-39326)."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(_CHUNKED)
        self._pieces: list[bytes] = []
        self._excess = 0
        self.tail = b""
        """The last bytes that were read."""
        self.complete = False

    def close(self) -> None:
        """Reads no more."""
        del self._parser

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._excess -= 2 * len(body)

    def on_chunk_header(self) -> None:
        self._excess -= 16

    def on_message_complete(self) -> None:
        self.complete = True

    def feed(self, data: bytes) -> None:
        """Reads on."""
        self._excess += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise bad_framing(str(error)) from None
        self._excess = max(0, self._excess)
        if self._excess > _MAX_EXCESS_BYTES:
            raise bad_framing("its chunks have too little in them, or too much besides")
        self.tail = (self.tail + data[-_MAY_STRADDLE:])[-_MAY_STRADDLE:]

    def take(self) -> bytes:
        """What was read since."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken
