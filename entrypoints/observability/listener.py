"""Where the metrics are fetched: a small HTTP server of its own, apart from the gateway's port.

Whoever can reach it may read everything in it, so it listens on this machine alone unless the operator says otherwise.
It answers GET and HEAD of two paths and closes the connection after each; it knows nothing of what it serves, so that
a gateway process and the parent of several use the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import attrs
import structlog

OFF = "off"
"""As METRICS_BIND: no listener, and nothing is measured."""
Render = Callable[[], Awaitable[bytes]]
"""Makes the exposition: Prometheus' text format, version 0.0.4."""

_PATIENCE_S = 10.0
_MOST_HEAD_BYTES = 8192
_MOST_AT_ONCE = 16
"""Answers that are made; whoever says nothing or reads nothing keeps no place."""
MOST_OPEN = 100
"""Connections; one more is closed at once, or strangers could use up the process's file descriptors."""
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}
_MOST_PORT = 65535
_log = structlog.get_logger("neuronetz")


class MetricsPortTaken(Exception):
    """METRICS_BIND cannot be listened on; says why and what to do."""


@attrs.frozen
class _Answer:
    status: int
    body: bytes
    kind: str = _PLAIN
    allow: bool = False


def read_bind(text: str) -> tuple[str, int]:
    """Host and port of an address to listen on.

    Args:
        text: `127.0.0.1:9464`, `[::1]:9464`, or `:9464` for every address.

    Raises:
        ValueError: it is none.
    """
    host, colon, port = text.strip().rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isdecimal() or not 0 < int(port) <= _MOST_PORT or not _plausible(host):
        raise ValueError("must be an address and a port, as 127.0.0.1:9464 or [::1]:9464, or off")
    return host, int(port)


def _plausible(host: str) -> bool:
    return all(character.isalnum() or character in ".-_:%" for character in host)


@contextlib.asynccontextmanager
async def serve_metrics(bind: str, render: Render, *, patience_s: float = _PATIENCE_S) -> AsyncIterator[None]:
    """Serves `/metrics` and `/healthz` until the block ends.

    Args:
        bind: an address and a port, as METRICS_BIND; not `off`.
        render: asked at each scrape. If it fails, the scraper gets a 500 and the log says why.
        patience_s: for one connection in all; a scraper that is slower than this is gone.

    Raises:
        MetricsPortTaken: it cannot be listened on.
    """
    host, port = read_bind(bind)
    places = asyncio.Semaphore(_MOST_AT_ONCE)
    live: set[asyncio.Task[None]] = set()

    def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(live) >= MOST_OPEN:
            writer.transport.abort()
            return
        task = asyncio.create_task(_one(reader, writer, render, places, patience_s))
        live.add(task)
        task.add_done_callback(live.discard)

    try:
        server = await asyncio.start_server(met, host or None, port, limit=_MOST_HEAD_BYTES)
    except OSError as error:
        why = error.strerror or "it is not an address of this machine"
        raise MetricsPortTaken(
            f"METRICS_BIND {bind} cannot be listened on ({why}). Choose another address or port, or set it to off."
        ) from error
    try:
        yield
    finally:
        server.close()
        for task in live:
            task.cancel()
        await asyncio.gather(*live, return_exceptions=True)


async def _one(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    render: Render,
    places: asyncio.Semaphore,
    patience_s: float,
) -> None:
    """One connection, one answer."""
    try:
        async with asyncio.timeout(patience_s):
            request = await _request_line(reader)
            async with places:
                answer = await _answer(request, render)
            writer.write(_written(answer, with_body=not request.startswith(b"HEAD ")))
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        pass  # it left, said nothing or does not read: nobody is there to be told
    finally:
        writer.transport.abort()  # a close alone would wait for ever for one who does not read


async def _request_line(reader: asyncio.StreamReader) -> bytes:
    """The first line; what else the head holds changes nothing. Empty when the head is too long."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        return b""
    return head.partition(b"\r\n")[0]


async def _answer(request: bytes, render: Render) -> _Answer:
    parts = request.split(b" ")
    if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):  # noqa: PLR2004  method, target, version
        return _Answer(400, b"bad request\n")
    method, path = parts[0], parts[1].partition(b"?")[0]
    if path not in (b"/metrics", b"/healthz"):
        return _Answer(404, b"metrics are at /metrics\n")
    if method not in (b"GET", b"HEAD"):
        return _Answer(405, b"only GET\n", allow=True)
    if path == b"/healthz":
        return _Answer(200, b"ok\n")
    try:
        return _Answer(200, await render(), _METRICS_TYPE)
    except Exception:  # noqa: BLE001  a bug in a number must not end what serves the others
        _log.exception("metrics_not_rendered")
        return _Answer(500, b"the gateway's log says why\n")


def _written(answer: _Answer, *, with_body: bool) -> bytes:
    head = [
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        f"content-type: {answer.kind}",
        f"content-length: {len(answer.body)}",
        "connection: close",
        *(["allow: GET, HEAD"] if answer.allow else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + (answer.body if with_body else b"")
