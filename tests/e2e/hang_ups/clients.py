"""Clients on bare sockets that ask, stop reading, and leave by FIN or by RST, many at once."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import attrs

from tests.e2e.house import Key

SMALL_BUFFER_BYTES = 4096
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_CAPS = {"/api/chat": None, "/v1/responses": "max_output_tokens"}


class Dialect(StrEnum):
    """By path."""

    NATIVE = "/api/chat"
    OPENAI = "/v1/chat/completions"
    ANTHROPIC = "/v1/messages"
    RESPONSES = "/v1/responses"


class Leaving(StrEnum):
    """How a client goes, or stays and reads nothing."""

    FIN = "fin"
    RST = "rst"
    STALL = "stall"


def body_of(dialect: Dialect, model: str, text: str, *, streamed: bool, cap: int) -> bytes:
    """A request with one message."""
    ask: dict[str, Any] = {"model": model, "stream": streamed}
    if dialect is Dialect.RESPONSES:
        ask["input"] = text
    else:
        ask["messages"] = [{"role": "user", "content": text}]
    if dialect is Dialect.NATIVE:
        ask["options"] = {"num_predict": cap}
    else:
        ask[_CAPS.get(dialect, "max_tokens") or ""] = cap
    return json.dumps(ask).encode()


@attrs.define(eq=False)
class Caller:
    """One client and its connection."""

    connection: socket.socket
    received: bytearray = attrs.field(factory=bytearray)
    left_at_s: float = 0.0
    """Unix time."""

    @classmethod
    async def ask(cls, url: str, key: Key, path: str, body: bytes, *, small_buffer: bool = False) -> Caller:
        """Connects and sends."""
        netloc = urlsplit(url)
        connection = socket.socket()
        if small_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, (netloc.hostname, netloc.port))
        head = f"POST {path} HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key.text}\r\nContent-Length: {len(body)}"
        await loop.sock_sendall(connection, f"{head}\r\n\r\n".encode() + body)
        return cls(connection)

    async def read_until(self, mark: bytes, times: int = 1) -> None:
        """Reads until something has come so many times."""
        loop = asyncio.get_running_loop()
        while self.received.count(mark) < times:
            octets = await loop.sock_recv(self.connection, 4096)
            if not octets:
                raise ConnectionResetError("the answer has ended")
            self.received += octets

    def headers(self) -> Mapping[str, str]:
        """Of the answer."""
        lines = bytes(self.received).partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def leave(self, leaving: Leaving) -> None:
        """Goes. Who stalls only notes since when."""
        if leaving is Leaving.RST:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        if leaving is not Leaving.STALL:
            self.connection.close()
        self.left_at_s = time.time()
