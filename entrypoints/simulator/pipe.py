"""The bytes' way out, with every trick that a behaviour asks of it.

A healthy answer never comes here when it is short, and passes straight through when it streams. A scripted one may be
cut into writes of given sizes, compressed, have its head trickled out, or end in a reset or in a close without HTTP's
last chunk. Cuts are made after compression, so they fall where the wire's bytes are.
"""

import asyncio
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import chain, repeat

from aiohttp import web

from entrypoints.simulator.behaviours import Behaviour

_GZIP_WINDOW = 31
_LINGER_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: close sends RST


class Pipe:
    """One answer's way to the client: `open`, `write` any number of times, then one of the endings."""

    def __init__(self, request: web.Request, behaviour: Behaviour) -> None:
        self._request = request
        self._behaviour = behaviour
        self._response = web.StreamResponse()
        self._raw = False
        self._raw_chunked = False
        self._gzip = zlib.compressobj(wbits=_GZIP_WINDOW) if behaviour.gzip else None
        self._sizes: Iterator[int] | None = None
        if behaviour.write_bytes:
            self._sizes = chain(behaviour.write_bytes, repeat(behaviour.write_bytes[-1]))

    @property
    def response(self) -> web.StreamResponse:
        """What aiohttp wants back once the answer has ended."""
        return self._response

    async def open(
        self,
        status: int,
        content_type: str,
        *,
        length: int | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Send the head; `length` in bytes gives a Content-Length, None HTTP chunks."""
        if self._behaviour.first_byte_delay_s:
            await asyncio.sleep(self._behaviour.first_byte_delay_s)
        sent = [("Content-Type", self._behaviour.content_type or content_type), *headers]
        if self._gzip:
            sent.append(("Content-Encoding", "gzip"))
            length = None
        if self._behaviour.headers_trickle_s:
            await self._trickle_head(status, sent, length)
            return
        self._response.set_status(status)
        for name, value in sent:
            self._response.headers.add(name, value)
        if length is None:
            self._response.enable_chunked_encoding()
        else:
            self._response.content_length = length
        await self._response.prepare(self._request)

    async def write(self, octets: bytes) -> None:
        """Send bytes, cut and compressed as scripted."""
        if self._gzip:
            octets = self._gzip.compress(octets) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        await self._write_cut(octets)

    async def finish(self) -> None:
        """End HTTP properly."""
        if self._gzip:
            await self._write_cut(self._gzip.flush())
        if not self._raw:
            await self._response.write_eof()
            return
        if self._raw_chunked:
            self._transport().write(b"0\r\n\r\n")
        self._transport().close()

    async def close(self) -> None:
        """Close the connection in an orderly way without ending HTTP."""
        await asyncio.sleep(0)  # what was written leaves first
        self._transport().close()

    async def reset(self) -> None:
        """Reset the connection: what the client has not read yet may be lost, as with a real reset."""
        await asyncio.sleep(0.02)  # long enough for loopback to deliver what was written
        transport = self._transport()
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()

    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        return transport

    async def _write_cut(self, octets: bytes) -> None:
        if self._sizes is None:
            await self._write_once(octets)
            return
        start = 0
        while start < len(octets):
            size = next(self._sizes)
            await self._write_once(octets[start : start + size])
            await asyncio.sleep(0)  # one turn of the loop each, so that writes are not gathered
            start += size

    async def _write_once(self, octets: bytes) -> None:
        if not octets:
            return
        if not self._raw:
            await self._response.write(octets)
        elif self._raw_chunked:
            self._transport().write(b"%x\r\n%b\r\n" % (len(octets), octets))
        else:
            self._transport().write(octets)

    async def _trickle_head(self, status: int, headers: list[tuple[str, str]], length: int | None) -> None:
        self._raw = True
        self._raw_chunked = length is None
        framing = ("Transfer-Encoding", "chunked") if length is None else ("Content-Length", str(length))
        lines = [f"{name}: {value}\r\n" for name, value in [*headers, framing, ("Connection", "close")]]
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{''.join(lines)}\r\n".encode("latin-1")
        for position in range(len(head)):
            self._transport().write(head[position : position + 1])
            await asyncio.sleep(self._behaviour.headers_trickle_s / len(head))
