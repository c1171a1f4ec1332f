"""A client for long runs: one request over one connection, read whole, sipped, or left at any moment by FIN or by RST.

It understands HTTP/1.1 just enough to know an answer's status, its refusal's code, and whether it ended as its dialect
ends. Connections are kept for the next request unless the answer, or the client, ended them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import time
from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import attrs

_TAIL_BYTES = 4096
_PATIENCE_S = 300.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_SMALL_BUFFER_BYTES = 4096
_SIP_BYTES, _GULP_BYTES = 1024, 65536
_MOST_KEPT = 64
_END_MARKS = {"/api/": b'"done":true', "/v1/messages": b"event: message_stop", "/v1/": b"data: [DONE]"}


class Leave(StrEnum):
    """How a client goes that does not wait for the end."""

    FIN = "fin"
    RST = "rst"


@attrs.frozen(kw_only=True)
class Manner:
    """How a client behaves."""

    leaves_after_s: float | None = None
    """Seconds after its request."""
    leaves_after_bytes: int | None = None
    """Bytes of the answer's body that it reads before it goes; a moment in mid-answer, however slow the machine."""
    leaves_by: Leave = Leave.FIN
    sip_s: float = 0.0
    """Seconds for each kilobyte that it reads."""


POLITE = Manner()


@attrs.define
class Seen:
    """What came of one request."""

    status: int = 0
    """0 when no head came."""
    code: str = ""
    tail: bytes = b""
    """The end of the body."""
    left: bool = False
    body_bytes: int = 0
    broken: str = ""
    """Why the connection ended before the answer; empty when it did not."""
    request_id: str = ""
    """As the gateway and its logs name it; empty when no head came."""
    head_at_s: float = 0.0
    """When the head came, Unix time."""


@attrs.frozen(kw_only=True)
class Ask:
    """One request."""

    method: str = "POST"
    path: str
    body: Mapping[str, Any] | None = None
    key: str = ""

    def as_bytes(self, host: str) -> bytes:
        """As it goes over the wire."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.key}\r\n"
        kind = "Content-Type: application/json\r\n" if body else ""
        return f"{head}{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body

    @property
    def streamed(self) -> bool:
        """Whether the answer is to come in pieces."""
        return bool(self.body and self.body.get("stream"))

    def ended(self, seen: Seen) -> bool:
        """Whether a streamed answer ended as its dialect ends."""
        mark = next(mark for start, mark in _END_MARKS.items() if self.path.startswith(start))
        return mark in seen.tail and b'"error"' not in seen.tail[-512:]


class _Left(Exception):
    """The client has read as much as it wanted."""


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def end(self, how: Leave = Leave.FIN) -> None:
        if how is Leave.RST:
            with contextlib.suppress(OSError):
                self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.writer.transport.abort()
        else:
            self.writer.close()


class Client:
    """Sends requests to one gateway."""

    def __init__(self, url: str, chance: random.Random, *, keeps: float = 0.7) -> None:
        """Args: `keeps` is the part of requests that use a connection again, if one is free."""
        self._host = urlsplit(url).netloc
        self._address = (str(urlsplit(url).hostname), int(urlsplit(url).port or 80))
        self._chance = chance
        self._keeps = keeps
        self._free: deque[_Connection] = deque(maxlen=_MOST_KEPT)

    async def send(self, ask: Ask, manner: Manner = POLITE) -> Seen:
        """Sends, and reads as the manner says; never raises for what the network does."""
        seen = Seen()
        kept = bool(self._free) and not manner.sip_s and self._chance.random() < self._keeps
        try:
            connection = self._free.pop() if kept else await self._open(small=bool(manner.sip_s))
        except OSError as error:
            seen.broken = f"no connection: {type(error).__name__}"
            return seen
        await self._exchange(connection, ask, manner, seen)
        if kept and seen.broken and not seen.status:
            return await self._once_more(ask, manner)  # it was closed while it lay idle, as clients must expect
        return seen

    async def _once_more(self, ask: Ask, manner: Manner) -> Seen:
        seen = Seen()
        try:
            connection = await self._open(small=False)
        except OSError as error:
            seen.broken = f"no connection: {type(error).__name__}"
        else:
            await self._exchange(connection, ask, manner, seen)
        return seen

    async def aclose(self) -> None:
        """Ends the connections that are free."""
        while self._free:
            self._free.pop().end()

    async def _open(self, *, small: bool) -> _Connection:
        plain = socket.socket()
        plain.setblocking(False)
        if small:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
        try:
            async with asyncio.timeout(60):
                await asyncio.get_running_loop().sock_connect(plain, self._address)
                return _Connection(*await asyncio.open_connection(sock=plain, limit=2**17))
        except BaseException:
            plain.close()
            raise

    async def _exchange(self, connection: _Connection, ask: Ask, manner: Manner, seen: Seen) -> None:
        leaves = manner.leaves_after_s is not None
        try:
            async with asyncio.timeout(manner.leaves_after_s if leaves else _PATIENCE_S):
                connection.writer.write(ask.as_bytes(self._host))
                keeps = await self._read(connection, manner, seen)
        except TimeoutError:
            seen.left, seen.broken = leaves, "" if leaves else f"no end within {_PATIENCE_S:.0f} s"
            connection.end(manner.leaves_by)
        except _Left:
            seen.left = True
            connection.end(manner.leaves_by)
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            seen.broken = type(error).__name__
            connection.end()
        else:
            if keeps and self._keeps and len(self._free) < _MOST_KEPT:
                self._free.append(connection)
            else:
                connection.end()

    async def _read(self, connection: _Connection, manner: Manner, seen: Seen) -> bool:
        """Reads one answer; says whether the connection may be used again."""
        reader = connection.reader
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        seen.status = int(head[9:12])
        seen.code = _header(head, b"x-error-code")
        seen.request_id = _header(head, b"x-request-id").removeprefix("req_")
        seen.head_at_s = time.time()
        if length := _header(head, b"content-length"):
            await self._take(reader, int(length), manner, seen)
        else:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await self._take(reader, size, manner, seen)
                await reader.readexactly(2)
            await reader.readexactly(2)
        return not manner.sip_s and _header(head, b"connection") != "close"

    async def _take(self, reader: asyncio.StreamReader, size: int, manner: Manner, seen: Seen) -> None:
        while size:
            piece = await reader.read(min(size, _SIP_BYTES if manner.sip_s else _GULP_BYTES))
            if not piece:
                raise asyncio.IncompleteReadError(b"", size)
            size -= len(piece)
            seen.tail = (seen.tail + piece)[-_TAIL_BYTES:]
            seen.body_bytes += len(piece)
            if manner.leaves_after_bytes is not None and seen.body_bytes >= manner.leaves_after_bytes:
                raise _Left
            if manner.sip_s:
                await asyncio.sleep(manner.sip_s * len(piece) / _SIP_BYTES)


def _header(head: bytes, name: bytes) -> str:
    _, found, rest = head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip().decode() if found else ""
