"""An answer's bytes: head and framing (RFC 9112 sections 4 to 7)."""

from __future__ import annotations

import time
from http import HTTPStatus
from wsgiref.handlers import format_date_time

from entrypoints.http1.edge import Answer, Headers

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CLOSE = (b"connection", b"close")
CHUNKED = (b"transfer-encoding", b"chunked")
_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_NO_BODY = frozenset({HTTPStatus.NO_CONTENT.value, HTTPStatus.NOT_MODIFIED.value})


class _Date:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._header = b""

    def header(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._header = b"date: %b\r\n" % format_date_time(now).encode("ascii")
        return self._header


_DATE = _Date()


def head_bytes(status: int, headers: Headers) -> bytes:
    """Status line and headers.

    Raises:
        ValueError: a header would end its line, and begin another of somebody else's making.
    """
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if lines.count(b"\n") != len(headers) or lines.count(b"\r") != len(headers):
        raise ValueError("A header to be sent has a line break in it.")
    return b"HTTP/1.1 %d %b\r\n%b%b\r\n" % (status, _REASONS.get(status, b""), lines, _DATE.header())


def has_body(method: str, status: int) -> bool:
    """Whether such an answer has one."""
    return method != "HEAD" and status not in _NO_BODY


def chunk(data: bytes) -> bytes:
    """A chunk; nothing for no bytes, since an empty one would be the last."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def whole(answer: Answer, method: str = "GET") -> bytes:
    """An answer after which the connection is closed."""
    length = (b"content-length", b"%d" % len(answer.body))
    head = head_bytes(answer.status, [*answer.headers, length, CLOSE])
    return head + answer.body if has_body(method, answer.status) else head
